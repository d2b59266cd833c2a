"""What google-cloud-ndb does with a Datastore, and what it must be answered; part by part.

Each part runs within a context of the client, which caches nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import pytest
from google.api_core import exceptions
from google.cloud import ndb


class Address(ndb.Model):
    street = ndb.StringProperty()
    floor = ndb.IntegerProperty()


class Everything(ndb.Model):
    """A property of every type."""

    integer = ndb.IntegerProperty()
    floating = ndb.FloatProperty()
    boolean = ndb.BooleanProperty()
    string = ndb.StringProperty()
    text = ndb.TextProperty()
    blob = ndb.BlobProperty()
    compressed = ndb.BlobProperty(compressed=True)
    squeezed = ndb.TextProperty(compressed=True)
    when = ndb.DateTimeProperty()
    aware = ndb.DateTimeProperty(tzinfo=dt.UTC)
    day = ndb.DateProperty()
    time = ndb.TimeProperty()
    place = ndb.GeoPtProperty()
    key_of = ndb.KeyProperty()
    json = ndb.JsonProperty()
    pickle = ndb.PickleProperty()
    generic = ndb.GenericProperty()
    repeated = ndb.IntegerProperty(repeated=True)
    address = ndb.StructuredProperty(Address)
    addresses = ndb.StructuredProperty(Address, repeated=True)
    local = ndb.LocalStructuredProperty(Address)
    locals_compressed = ndb.LocalStructuredProperty(Address, repeated=True, compressed=True)
    shouted = ndb.ComputedProperty(lambda self: (self.string or "").upper())
    renamed = ndb.StringProperty("r")
    unindexed = ndb.IntegerProperty(indexed=False)
    defaulted = ndb.StringProperty(default="as it is")
    made = ndb.DateTimeProperty(auto_now_add=True)


class Fish(ndb.Model):
    n = ndb.IntegerProperty()
    sea = ndb.StringProperty()
    tags = ndb.StringProperty(repeated=True)
    home = ndb.StructuredProperty(Address)


class Hooked(ndb.Model):
    called: ClassVar[list[str]] = []
    a = ndb.IntegerProperty()

    def _pre_put_hook(self) -> None:
        self.called.append("before put")

    def _post_put_hook(self, future: Any) -> None:
        self.called.append("after put")

    @classmethod
    def _pre_get_hook(cls, key: ndb.Key) -> None:
        cls.called.append("before get")

    @classmethod
    def _pre_delete_hook(cls, key: ndb.Key) -> None:
        cls.called.append("before delete")


class Counter(ndb.Model):
    n = ndb.IntegerProperty(default=0)


class Open(ndb.Expando):
    fixed = ndb.StringProperty()


class Animal(ndb.PolyModel):
    name = ndb.StringProperty()


class Cat(Animal):
    lives = ndb.IntegerProperty()


def shoal() -> list[ndb.Key]:
    """Eight fish under one parent, ``n`` 1 to 8."""
    sea = ndb.Key("Sea", "north")
    return ndb.put_multi(
        Fish(
            id=f"f{n}",
            parent=sea,
            n=n,
            sea="north" if n < 5 else "south",
            tags=[f"t{n % 2}", f"u{n % 3}"],
            home=Address(street=f"s{n}", floor=n % 4),
        )
        for n in range(1, 9)
    )


def without_key(value: Any) -> Any:
    """An address without the key that it was given when it was read: one that names a kind only."""
    if isinstance(value, list):
        return [without_key(each) for each in value]
    return Address(**value.to_dict()) if isinstance(value, Address) else value


def numbers(query: Any) -> list[int]:
    return [fish.n for fish in query]


def every_property_comes_back() -> None:
    values = {
        "integer": -(2**40),
        "floating": 0.1,
        "boolean": True,
        "string": "Grüße 🌍",
        "text": "long " * 1000,
        "blob": b"\x00\xff" * 1000,
        "compressed": b"again " * 1000,
        "squeezed": "and again " * 1000,
        "when": dt.datetime(2026, 11, 22, 1, 2, 3, 456789),
        "aware": dt.datetime(2026, 11, 22, 1, 2, 3, tzinfo=dt.UTC),
        "day": dt.date(1999, 12, 31),
        "time": dt.time(23, 59, 58, 1),
        "place": ndb.GeoPt(48.25, -16.5),
        "key_of": ndb.Key("Sea", "north", "Fish", 7),
        "json": {"a": [1, None, {"b": "ü"}]},
        "pickle": {"set": {1, 2}, "tuple": (1, "x")},
        "generic": 17,
        "repeated": [3, 1, 2, 3],
        "address": Address(street="A", floor=1),
        "addresses": [Address(street="B", floor=2), Address(street=None, floor=3)],
        "local": Address(street="C", floor=4),
        "locals_compressed": [Address(street="D", floor=5)],
        "renamed": "under r",
        "unindexed": 2**62,
    }
    key = Everything(id="all", **values).put()
    found = key.get()
    assert values == {name: without_key(getattr(found, name)) for name in values}
    assert ("GRÜSSE 🌍", "as it is") == (found.shouted, found.defaulted)
    assert isinstance(found.made, dt.datetime)


def nothing_at_all_comes_back() -> None:
    found = Everything(id="none").put().get()
    assert found.integer is None
    assert found.address is None
    assert [] == found.repeated
    assert [] == found.addresses
    assert Everything.query(Everything.integer == None).get(keys_only=True) == found.key  # noqa: E711  # so ndb asks for it


def ids_are_given_and_allocated() -> None:
    key = Counter(n=1).put()
    assert isinstance(key.id(), int)
    assert 1 == key.get().n
    keys = Counter.allocate_ids(10)
    assert 10 == len({each.id() for each in keys} - {key.id()})
    below = Counter.allocate_ids(2, parent=ndb.Key("Sea", "north"))
    assert {ndb.Key("Sea", "north")} == {each.parent() for each in below}


def several_are_put_got_and_deleted() -> None:
    keys = shoal()
    found = ndb.get_multi([*keys, ndb.Key("Fish", "none")])
    assert [1, 2, 3, 4, 5, 6, 7, 8, None] == [fish and fish.n for fish in found]
    ndb.delete_multi(keys[:2])
    assert [None, None] == ndb.get_multi(keys[:2])
    assert keys[2].get_async().get_result().n == 3
    keys[2].delete()
    assert keys[2].get() is None


def one_is_got_or_made() -> None:
    made = Counter.get_or_insert("only", n=5)
    again = Counter.get_or_insert("only", n=9)
    assert (5, 5) == (made.n, again.n)
    assert Counter.get_by_id("only").n == 5
    assert Counter.get_by_id("never") is None


def operators_of_queries() -> None:
    shoal()
    assert [3] == numbers(Fish.query(Fish.n == 3))
    assert [1, 2] == numbers(Fish.query(Fish.n < 3))
    assert [1, 2, 3] == numbers(Fish.query(Fish.n <= 3))
    assert [8] == numbers(Fish.query(Fish.n > 7))
    assert [7, 8] == numbers(Fish.query(Fish.n >= 7))
    assert {1, 2, 4, 5, 6, 7, 8} == set(numbers(Fish.query(Fish.n != 3)))
    assert {2, 5} == set(numbers(Fish.query(Fish.n.IN([2, 5, 77]))))
    assert {1, 8} == set(numbers(Fish.query(Fish.n.NOT_IN([2, 3, 4, 5, 6, 7]))))
    assert {2, 8} == set(numbers(Fish.query(Fish.tags == "t0", Fish.tags == "u2")))


def alternatives_of_queries() -> None:
    shoal()
    either = Fish.query(ndb.OR(Fish.n < 2, ndb.AND(Fish.sea == "south", Fish.n > 6)))
    assert {1, 7, 8} == set(numbers(either))
    ordered = Fish.query(ndb.OR(Fish.n == 7, Fish.n == 2, Fish.n == 4)).order(-Fish.n)
    assert [7, 4, 2] == numbers(ordered)
    assert {1, 2, 5} == set(numbers(Fish.query(Fish.n.IN([1, 2, 5]), Fish.sea.IN(["north", "south"]))))


def orders_limits_and_counts() -> None:
    shoal()
    assert [8, 7, 6] == numbers(Fish.query().order(-Fish.n).fetch(3))
    assert [4, 3, 2, 1, 8, 7, 6, 5] == numbers(Fish.query().order(Fish.sea, -Fish.n))
    assert [3, 4] == numbers(Fish.query().order(Fish.n).fetch(2, offset=2))
    assert (8, 4, 3) == (Fish.query().count(), Fish.query(Fish.sea == "north").count(), Fish.query().count(3))
    assert 1 == Fish.query().order(Fish.n).get().n
    assert Fish.query(Fish.n == 99).get() is None


def ancestors_and_keys() -> None:
    keys = shoal()
    sea = ndb.Key("Sea", "north")
    assert 8 == len(Fish.query(ancestor=sea).fetch())
    assert [] == Fish.query(ancestor=ndb.Key("Sea", "south")).fetch()
    assert keys[:2] == Fish.query(ancestor=sea).order(Fish.key).fetch(2, keys_only=True)
    assert [7, 8] == numbers(Fish.query(Fish.key > keys[5]).order(Fish.key))
    assert 8 == len(ndb.Query(ancestor=sea).fetch())


def projections_and_distinct_values() -> None:
    shoal()
    rows = Fish.query(Fish.n <= 2).order(Fish.n).fetch(projection=[Fish.n, Fish.sea])
    assert [(1, "north"), (2, "north")] == [(row.n, row.sea) for row in rows]
    seas = Fish.query(projection=["sea"], distinct=True).order(Fish.sea)
    assert ["north", "south"] == [row.sea for row in seas]
    with pytest.raises(ndb.UnprojectedPropertyError):
        _ = rows[0].tags


def structured_properties_are_queried() -> None:
    shoal()
    assert {3, 7} == set(numbers(Fish.query(Fish.home.floor == 3)))
    assert [7] == numbers(Fish.query(Fish.home == Address(street="s7", floor=3)))
    Everything(id="two", addresses=[Address(street="x", floor=1), Address(street="y", floor=2)]).put()
    assert 1 == Everything.query(Everything.addresses.street == "y").count()


def pages_by_cursors() -> None:
    shoal()
    query = Fish.query().order(Fish.n)
    pages, cursor, more = [], None, True
    while more and len(pages) < 5:
        found, cursor, more = query.fetch_page(3, start_cursor=cursor)
        pages.append(numbers(found))
    assert [[1, 2, 3], [4, 5, 6], [7, 8]] == pages
    again = ndb.Cursor(urlsafe=query.fetch_page(3)[1].urlsafe())
    assert [4, 5] == numbers(query.fetch_page(2, start_cursor=again)[0])
    iterator = query.iter()
    assert [1, 2] == [next(iterator).n, next(iterator).n]
    assert [3] == numbers(query.fetch_page(1, start_cursor=iterator.cursor_after())[0])


def queries_in_other_forms() -> None:
    shoal()
    assert [2, 4, 6, 8] == sorted(Fish.query(Fish.tags == "t0").map(lambda fish: fish.n))
    futures = [Fish.query(Fish.sea == sea).fetch_async() for sea in ("north", "south")]
    assert [4, 4] == [len(future.get_result()) for future in futures]

    @ndb.tasklet
    def both() -> Any:
        one, other = yield Fish.query(Fish.n == 1).get_async(), Fish.query(Fish.n == 2).get_async()
        raise ndb.Return(one.n + other.n)

    assert 3 == both().get_result()


def transactions_commit_and_roll_back() -> None:
    key = Counter(id="tx", n=0).put()

    @ndb.transactional()
    def increase() -> int:
        counter = key.get()
        counter.n += 1
        counter.put()
        Counter(id="beside", n=counter.n).put()
        return int(counter.n)

    assert [1, 2] == [increase(), increase()]
    assert 2 == ndb.Key(Counter, "beside").get().n

    def broken() -> None:
        counter = key.get()
        counter.n = 99
        counter.put()
        raise ndb.Rollback

    with pytest.raises(ndb.Rollback):
        ndb.transaction(broken)
    assert 2 == key.get(use_cache=False).n
    assert 3 == ndb.transaction(lambda: key.get().n + 1, read_only=True)


def a_conflict_is_tried_again_or_told() -> None:
    key = Counter(id="contended", n=0).put()
    tries: list[int] = []

    def increase() -> None:
        counter = key.get()
        tries.append(counter.n)
        if len(tries) == 1:
            with ndb.get_context().new(transaction=None).use():
                Counter(id="contended", n=10).put()
        counter.n += 1
        counter.put()

    ndb.transaction(increase, retries=3)
    assert ([0, 10], 11) == (tries, key.get(use_cache=False).n)
    tries.clear()
    with pytest.raises(exceptions.Aborted):
        ndb.transaction(increase, retries=0)
    assert 10 == key.get(use_cache=False).n


def hooks_are_called() -> None:
    Hooked.called.clear()
    key = Hooked(id="h", a=1).put()
    key.get(use_cache=False)
    key.delete()
    assert ["before put", "after put", "before get", "before delete"] == Hooked.called


def open_and_derived_models() -> None:
    key = Open(id="o", fixed="f", loose=[1, 2]).put()
    found = key.get(use_cache=False)
    assert ("f", [1, 2]) == (found.fixed, found.loose)
    Cat(id="c", name="Tom", lives=9).put()
    Animal(id="a", name="Any").put()
    assert ["Tom"] == [cat.name for cat in Cat.query()]
    assert {"Tom", "Any"} == {animal.name for animal in Animal.query()}


def namespaces_keep_apart() -> None:
    with ndb.get_context().new(namespace="elsewhere").use():
        key = Counter(id="far", n=1).put()
        assert "elsewhere" == key.namespace()
        assert 1 == Counter.query().count()
    assert Counter.get_by_id("far") is None
    assert 1 == Counter.get_by_id("far", namespace="elsewhere").n


def what_is_wrong_is_told() -> None:
    with pytest.raises(exceptions.InvalidArgument):
        Counter(id="x", namespace="a b", n=1).put()
    with pytest.raises(exceptions.InvalidArgument):
        Counter(id="__reserved__", n=1).put()


PARTS = (
    every_property_comes_back,
    nothing_at_all_comes_back,
    ids_are_given_and_allocated,
    several_are_put_got_and_deleted,
    one_is_got_or_made,
    operators_of_queries,
    alternatives_of_queries,
    orders_limits_and_counts,
    ancestors_and_keys,
    projections_and_distinct_values,
    structured_properties_are_queried,
    pages_by_cursors,
    queries_in_other_forms,
    transactions_commit_and_roll_back,
    a_conflict_is_tried_again_or_told,
    hooks_are_called,
    open_and_derived_models,
    namespaces_keep_apart,
    what_is_wrong_is_told,
)
