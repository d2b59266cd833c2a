"""Classes that a user registers cross a task boundary and come back as themselves."""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections import namedtuple
from dataclasses import InitVar, dataclass, field
from enum import STRICT, Enum, Flag, IntEnum, IntFlag, StrEnum, auto
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import pytest

from fantasm_gcp.core.codec import TAG, Codec
from fantasm_gcp.errors import MissingDefinitionError
from fantasm_gcp.registry import REGISTERED, context_type

CODEC = Codec(registered=REGISTERED)
T = TypeVar("T")


@context_type(name="tests.Money")
@dataclass
class Money:
    """A plain dataclass."""

    amount: int
    currency: str = "EUR"


@context_type
@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Frozen, with slots, and so usable as a key."""

    line: int
    column: int = 0


@context_type
@dataclass(kw_only=True, slots=True, weakref_slot=True)
class Order:
    """Holds other registered values."""

    places: dict[Place, list[Money]] = field(default_factory=dict)
    extra: Any = None


MADE: list[str] = []


@context_type
@dataclass
class Account:
    """What ``__post_init__`` does, it does once, where the value is made."""

    name: str
    secret: InitVar[str]
    digest: str = field(init=False)
    opened: str = field(init=False, default="never")
    later: str = field(init=False)

    def __post_init__(self, secret):
        MADE.append(self.name)
        self.name = f"account {self.name}"
        self.digest = secret[::-1]
        self.note = f"beside the fields: {secret[0]}"

    @cached_property
    def longer(self):
        return self.name * 2


@context_type
@dataclass
class Box(Generic[T]):
    """A generic one."""

    content: T


@context_type
class Colour(Enum):
    RED = "r"
    GREEN = object()
    CRIMSON = "r"


@context_type
class Level(IntEnum):
    LOW = 1
    HIGH = 2


@context_type
class Word(StrEnum):
    YES = auto()
    NO = auto()


@context_type
class Rights(Flag, boundary=STRICT):  # which is not the default of Python 3.11.0 to 3.11.3
    NONE = 0
    READ = 1
    WRITE = 2
    ALL = 3


@context_type
class Mode(IntFlag):
    OWNER = 4
    PAIR = 24


@context_type
class Span(NamedTuple):
    begin: int
    end: int = 9


@context_type
class Wide(namedtuple("Wide", "a b")):
    """Has no ``__slots__``, so it can have attributes."""


def crossed(value):
    return CODEC.decode(CODEC.encode({"v": value}))["v"]


@pytest.mark.parametrize(
    "value",
    [
        Money(5),
        Money(None, ["not", "a", "str"]),
        Place(1, 2),
        Order(places={Place(1): [Money(1), Money(2)]}, extra=(Colour.RED, {Level.HIGH: Word.NO})),
        Order(extra=Order(extra=Order())),
        Box(Box({1, 2})),
        Box({TAG: ["registered", ["tests.Money", {}]]}),
        Colour.RED,
        Colour.GREEN,
        Colour.CRIMSON,
        Level.LOW,
        Word.YES,
        Rights.NONE,
        Rights.READ,
        Rights.ALL,
        Rights.READ | Rights.WRITE,
        Mode.OWNER,
        Mode.PAIR,
        Mode.OWNER | Mode.PAIR,
        Mode.OWNER | 64,
        Mode(0),
        ~Mode.OWNER,
        Span(1),
        Span(1, (2,)),
        Wide(Place(1), [Span(1)]),
        {Place(1), Place(2, 3)},
        {Word.YES: 1, Level.LOW: 2, Place(3): 4},
        frozenset({Colour.GREEN, Span(1)}),
    ],
    ids=lambda value: type(value).__name__,  # equal in every process, which a repr is not
)
def test_a_registered_value_comes_back_as_itself(value):
    """Equal and of its own class, on its own and inside of others."""
    for given in (value, [value], {"x": (value,)}, Box(value)):
        restored = crossed(given)
        assert given == restored
        assert repr(given) == repr(restored) or isinstance(value, frozenset | set)
        assert type(given) is type(restored)


def test_a_member_of_an_enum_is_the_member_itself():
    """Also of enums that are numbers or text at the same time."""
    for member in (Colour.GREEN, Level.HIGH, Word.NO, Rights.READ):
        assert member is crossed([member])[0]


def test_no_constructor_runs_again():
    """``__post_init__`` changed the name once; what it set beside the fields is there; caches are not."""
    account = Account("Ada", "xyz")
    assert "account Adaaccount Ada" == account.longer
    MADE.clear()
    restored = crossed(account)
    assert [] == MADE
    assert ("account Ada", "zyx", "never") == (restored.name, restored.digest, restored.opened)
    assert "beside the fields: x" == restored.note
    assert not hasattr(restored, "later")
    assert "longer" not in vars(restored)


def test_attributes_of_a_named_tuple_come_back():
    """A subclass may have some."""
    wide = Wide(1, 2)
    wide.note = Money(3)
    restored = crossed(wide)
    assert (Wide(1, 2), Money(3)) == (restored, restored.note)


def test_slots_of_a_base_class_come_back():
    """They are no fields, and no ``__dict__`` has them."""

    class Base:
        __slots__ = ("hidden",)

    @context_type
    @dataclass(slots=True)
    class Slotted(Base):
        shown: int

    value = Slotted(1)
    value.hidden = {2}
    restored = crossed(value)
    assert (1, {2}) == (restored.shown, restored.hidden)


def test_what_is_stored_is_the_name_and_the_fields():
    """No module is named that the user did not choose to name."""
    assert {"v": {TAG: ["registered", ["tests.Money", {"amount": 5, "currency": "EUR"}]]}} == json.loads(
        CODEC.encode({"v": Money(5)})
    )
    assert {"v": {TAG: ["registered", [f"{__name__}.Level", "LOW"]]}} == json.loads(
        CODEC.encode({"v": Level.LOW})
    )


@dataclass
class Unknown:
    """Registered nowhere."""

    x: int


class Shade(Enum):
    DARK = 1


class Step(IntEnum):
    ONE = 1


class Letter(StrEnum):
    A = "a"


class Pair(NamedTuple):
    a: int


@dataclass
class Cheque(Money):
    """A subclass of a registered class is another class."""


@pytest.mark.parametrize(
    "value",
    [Unknown(1), Shade.DARK, Step.ONE, Letter.A, Pair(1), Cheque(1)],
    ids=lambda value: type(value).__name__,
)
def test_a_class_that_is_not_registered_is_refused_and_the_way_to_register_it_named(value):
    """At its place, however deep; a number or text that is a member of an enum, too."""
    name = type(value).__name__
    with pytest.raises(TypeError) as raised:
        CODEC.encode({"v": Box([{"a": value}])})
    assert str(raised.value).startswith(
        f"context['v'].content[0]['a'] is a {__name__}.{name}, which cannot cross"
    )
    assert f"register {name}: write @fantasm_gcp.context_type" in str(raised.value)


def test_what_a_field_cannot_have_is_named_by_its_field():
    """The place goes on through attributes."""
    with pytest.raises(TypeError, match=r"^context\['v'\].extra.amount is a builtins.object"):
        CODEC.encode({"v": Order(extra=Money(object()))})


def stored(*content):
    return json.dumps({"v": {TAG: ["registered", list(content)]}}).encode()


def test_a_field_that_was_added_since_takes_its_default():
    """A context in flight was written by the deployment before."""
    assert {"v": Money(5)} == CODEC.decode(stored("tests.Money", {"amount": 5}))
    assert {"v": Span(1)} == CODEC.decode(stored(f"{__name__}.Span", {"begin": 1}))
    assert {"v": Order()} == CODEC.decode(stored(f"{__name__}.Order", {}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (("tests.Money", {}), "says nothing of its field 'amount', which has no default"),
        (("tests.Money", {"amount": 1, "vat": 2}), "has a field 'vat' that this deployment's has not"),
        ((f"{__name__}.Span", {}), "says nothing of its field 'begin'"),
        ((f"{__name__}.Span", {"begin": 1, "middle": 2}), "has a field 'middle'"),
        ((f"{__name__}.Level", "MIDDLE"), "is the member 'MIDDLE', which this deployment's has not"),
        ((f"{__name__}.Rights", ["READ", "SELL"]), "is the member 'SELL'"),
        (("tests.Nothing", {}), "no class is registered as 'tests.Nothing'"),
        ((f"{__name__}.Unknown", {"x": 1}), "no class is registered as"),
    ],
    ids=str,
)
def test_what_another_deployment_may_know_is_a_missing_definition(content, message):
    """A newer one has more fields and members, an older one had others; nothing is dropped in silence."""
    with pytest.raises(MissingDefinitionError, match=message):
        CODEC.decode(stored(*content))


@pytest.mark.parametrize(
    "content",
    [
        ("tests.Money", []),
        ("tests.Money", None),
        ("tests.Money", "amount"),
        ("tests.Money", {"amount": 1}, []),
        ("tests.Money", {"amount": 1}, {"__class__": 1}),
        ("tests.Money", {"amount": 1}, {"__dict__": {}}),
        ("tests.Money", {"amount": 1}, {TAG: ["dict", [[1, 2]]]}),
        (f"{__name__}.Place", {"line": 1}, {"note": 1}),
        (f"{__name__}.Span", [1, 2]),
        (f"{__name__}.Level", 1),
        (f"{__name__}.Level", ["LOW"]),
        (f"{__name__}.Level", None),
        (f"{__name__}.Rights", "READ"),
        (f"{__name__}.Rights", 1),
        (f"{__name__}.Rights", [1.5]),
        (f"{__name__}.Rights", [64]),
    ],
    ids=str,
)
def test_content_that_no_value_of_the_class_has_is_no_context(content):
    """It is of another shape, or would change what the object is."""
    with pytest.raises(ValueError, match="this is no context"):
        CODEC.decode(stored(*content))


def test_classes_are_told_by_name_and_never_imported():
    """A name that stands for a module on the path is no reason to import it."""
    name = "this.antigravity.Dataclass"
    before = set(sys.modules)
    with pytest.raises(MissingDefinitionError):
        CODEC.decode(stored(name, {}))
    assert before == set(sys.modules)


def test_later_registrations_are_seen():
    """By a codec that was made before, and in the mapping that cannot be written."""

    @dataclass
    class Late:
        x: int

    with pytest.raises(TypeError, match="register Late"):
        CODEC.encode({"v": Late(1)})
    assert Late is context_type(Late)
    assert Late(1) == crossed(Late(1))
    assert Late is REGISTERED[f"{__name__}.test_later_registrations_are_seen.<locals>.Late"]
    with pytest.raises(TypeError):
        REGISTERED["x"] = Late  # type: ignore[index]  # that it cannot be written is what is shown


def test_registering_twice_changes_nothing_and_another_class_of_the_name_is_an_error():
    """The same class under the same name is what a module that is imported twice does."""
    assert Money is context_type(name="tests.Money")(Money)
    with pytest.raises(
        ValueError, match=rf"'tests.Money' is the name of {__name__}.Money; give {__name__}.Unknown"
    ):
        context_type(name="tests.Money")(Unknown)
    assert Money is REGISTERED["tests.Money"]


def test_a_class_of_several_names_is_written_under_the_first_and_read_under_all():
    """So that a class can be renamed while contexts are in flight."""

    @dataclass
    class Renamed:
        x: int

    context_type(name="tests.old")(Renamed)
    context_type(name="tests.new")(Renamed)
    assert "tests.old" == json.loads(CODEC.encode({"v": Renamed(1)}))["v"][TAG][1][0]
    assert {"v": Renamed(1)} == CODEC.decode(stored("tests.new", {"x": 1}))


def test_a_reloaded_module_replaces_its_classes(tmp_path, monkeypatch):
    """A development server reloads modules; contexts in flight become values of the new class."""
    (tmp_path / "reloaded_shop.py").write_text(
        "from dataclasses import dataclass\n"
        "from fantasm_gcp.registry import context_type\n"
        "@context_type\n@dataclass\nclass Thing:\n    x: int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_shop")
    encoded = CODEC.encode({"v": module.Thing(1)})
    before = module.Thing
    importlib.reload(module)
    assert before is not module.Thing
    assert {"v": module.Thing(1)} == CODEC.decode(encoded)
    monkeypatch.delitem(sys.modules, "reloaded_shop")


class Plain:
    """No dataclass."""


@dataclass
class Fault(Exception):
    """Its message would be lost."""

    x: int


@dataclass
class Dictionary(dict):
    """Its items would be lost."""


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Plain, "is no dataclass, enum or named tuple; write the decorator above @dataclass"),
        (object, "is no dataclass"),
        (int, "is no dataclass"),
        (Fault, "is a Exception, whose content would be lost"),
        (Dictionary, "is a dict, whose content would be lost"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused_where_it_is_registered(cls, message):
    """At import, not when the first context is written."""
    with pytest.raises(TypeError, match=message):
        context_type(cls)


@pytest.mark.parametrize(
    "make", [lambda: context_type(), lambda: context_type("x"), lambda: context_type(Money(1))]
)
def test_the_decorator_says_what_it_takes(make):
    """A class, or a name by keyword."""
    with pytest.raises(TypeError, match="context_type takes a class"):
        make()


@pytest.mark.parametrize("name", ["", 5])
def test_a_name_is_text(name):
    """An empty one tells nothing."""
    with pytest.raises(TypeError, match="the name of a class is text"):
        context_type(name=name)(Money)


def test_a_hundred_levels_are_taken_and_not_one_more():
    """Each value of a class is one level, as each list and dict is."""
    value = "x"
    for _ in range(100):
        value = Box(value)
    restored = crossed(value)
    for _ in range(100):
        restored = restored.content
    assert "x" == restored
    with pytest.raises(TypeError, match="nested too deeply: a context takes 100 levels"):
        crossed(Box(value))
    endless = Box(None)
    endless.content = endless
    with pytest.raises(TypeError, match="nested too deeply"):
        crossed(endless)


def test_random_registered_values_come_back():
    """Five hundred nested ones by a seed; equal ones have equal texts."""
    source = random.Random(5)
    leaves = [
        1,
        "a",
        None,
        Colour.GREEN,
        Level.LOW,
        Word.NO,
        Rights.ALL,
        Mode(70),
        Place(2),
        Span(3),
        Money(4),
    ]

    def value(depth):
        if not depth or source.random() < 0.3:
            return source.choice(leaves)
        items = [value(depth - 1) for _ in range(3)]
        return source.choice(
            (
                lambda: Box(items),
                lambda: Order(places={Place(1): [items[0]]}, extra=items[1]),
                lambda: Wide(items[0], items[1]),
                lambda: {"a": items[0], TAG: items[1]},
                lambda: tuple(items),
                lambda: Money(items, {1: items[2]}),
            )
        )()

    for _ in range(500):
        given = value(4)
        restored = crossed(given)
        assert repr(given) == repr(restored)
        assert given == restored
        assert CODEC.text(given) == CODEC.text(restored)
