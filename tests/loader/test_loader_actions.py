"""Users' code as it comes: missing, failing, or no action at all, never a bare traceback."""

from __future__ import annotations

import sys

import pytest

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import load_actions, parse_text, resolve_action

ACTION = "class Act:\n    def execute(self, context, obj):\n        return 'ok'\n"


def refusal(dotted: str) -> str:
    """What is said about an action that cannot be resolved: message and hint."""
    with pytest.raises(DefinitionError) as caught:
        resolve_action(dotted)
    (problem,) = caught.value.problems
    assert ("<action>", 1, 1, dotted) == (problem.file, problem.line, problem.column, problem.source)
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message


@pytest.mark.fantasm(31)
def test_an_action_is_an_object_of_its_class(package):
    """Made without arguments, anew for every call."""
    name = package(mail=ACTION)
    action = resolve_action(f"{name}.mail.Act")
    assert action.execute({}, {}) == "ok"
    assert action is not resolve_action(f"{name}.mail.Act")
    assert type(action) is type(resolve_action(f"{name}.mail.Act"))


@pytest.mark.fantasm(36)
def test_a_module_that_is_not_there_is_told_with_a_likely_one(package):
    """In a package, at the top, and below what is no package."""
    name = package(mail=ACTION)
    assert f"there is no module '{name}.mial'; did you mean '{name}.mail'?" == refusal(f"{name}.mial.Act")
    near = name[:-1] + "_"
    assert f"there is no module '{near}'; did you mean '{name}'?" == refusal(f"{near}.mail.Act")
    assert f"there is no module '{name}.mail.Act'; '{name}.mail' is a module, not a package" == refusal(
        f"{name}.mail.Act.Inner"
    )
    assert refusal("qqqqzzzz.Act").startswith("there is no module 'qqqqzzzz'; modules are looked for")


@pytest.mark.fantasm(35)
def test_a_class_that_is_not_there_is_told_with_a_likely_one(package):
    """The hint is a class of the module, never a constant."""
    name = package(mail=ACTION + "ACTS = 3\n")
    expected = f"module '{name}.mail' has no class or function 'Atc'; did you mean 'Act'?"
    assert expected == refusal(f"{name}.mail.Atc")


def test_a_name_without_a_module_is_told():
    """There is nothing to import."""
    assert refusal("Act") == "action 'Act' names no module; write it like package.module.Act"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import nonesuch_module\n",
            "ModuleNotFoundError: No module named 'nonesuch_module' (at {file}:1: import nonesuch_module)",
        ),
        ("from os import nonesuch\n", "ImportError: cannot import name 'nonesuch' from 'os'"),
        (
            "x = 1\ndef f():\n    return x / 0\nf()\n",
            "ZeroDivisionError: division by zero (at {file}:3: return x / 0)",
        ),
        ("x = 1\nclass Act\n", "SyntaxError: expected ':' (at {file}:2: class Act)"),
        ("if True:\nx = 1\n", "IndentationError: expected an indented block"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (at {file}:2: sys.exit(3))"),
        (
            "try:\n    {}['key']\nexcept KeyError as e:\n    raise RuntimeError('no\\n key') from e\n",
            "RuntimeError: no key, caused by KeyError: 'key' (at {file}:2: {}['key'])",
        ),
        (
            "try:\n    {}['key']\nexcept KeyError:\n    raise RuntimeError('plain') from None\n",
            "RuntimeError: plain (at {file}:4: raise RuntimeError('plain') from None)",
        ),
        (
            "class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E\n",
            "E: <exception str() failed>",
        ),
    ],
)
def test_a_module_that_fails_by_itself_is_told_with_its_cause(package, tmp_path, code, message):
    """It is there: the message is of what went wrong in it, and where."""
    name = package(mail=code)
    expected = message.replace("{file}", str(tmp_path / name / "mail.py"))
    found = refusal(f"{name}.mail.Act")
    assert found.startswith(f"module '{name}.mail' cannot be imported: ")
    assert expected in found


def test_a_package_that_fails_is_not_taken_for_a_missing_module(package):
    """The package of the module imports something that is not there."""
    name = package(mail=ACTION, __init__="from . import gone_missing_entirely\n")
    assert "cannot import name 'gone_missing_entirely'" in refusal(f"{name}.mail.Act")


def test_a_source_file_that_is_no_text_is_told(package, tmp_path):
    """A null character in a module."""
    name = package(mail="")
    (tmp_path / name / "mail.py").write_bytes(b"x = '\0'\n")
    assert "cannot be imported: " in refusal(f"{name}.mail.Act")


@pytest.mark.fantasm(40)
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("Act = 3\n", "'{name}.mail.Act' is neither a class nor a function but an object of type 'int'"),
        ("import os as Act\n", "'{name}.mail.Act' is neither a class nor a function but a module"),
        (
            "class Act:\n    pass\n",
            "'{name}.mail.Act' has no method execute(); add execute(self, context, obj)",
        ),
        (
            "class Act:\n    execute = 3\n",
            "execute of '{name}.mail.Act' is not a method; it cannot be called",
        ),
        (
            "class Act:\n    def excute(self, context, obj): ...\n",
            "'{name}.mail.Act' has no method execute(); did you mean 'excute'?",
        ),
        (
            "class Act:\n    def __init__(self, when): ...\n",
            "'{name}.mail.Act' cannot be made: TypeError: Act.__init__() missing 1 required",
        ),
        (
            "class Act:\n    @property\n    def execute(self):\n        raise OSError('no')\n",
            "'{name}.mail.Act' cannot be made: OSError: no",
        ),
        ("def __getattr__(name):\n    raise KeyError(name)\n", "'Act' cannot be had: KeyError: 'Act'"),
    ],
)
def test_a_class_that_is_no_action_is_told_why(package, code, message):
    """Every way in which a name can lead to something of no use."""
    name = package(mail=code)
    assert refusal(f"{name}.mail.Act").startswith(message.replace("{name}", name))


def definitions(name: str, *states: str) -> Definitions:
    """A machine whose states have these further attributes; the n-th one stands at line n + 4."""
    written = "".join(
        f"  - {{name: S{n}, initial: {'no' if n else 'yes'}, final: yes, "
        f"transitions: [{{event: e, to: S{(n + 1) % len(states)}}}], {state}}}\n"
        for n, state in enumerate(states)
    )
    return parse_text(
        f"state_machines:\n- name: M\n  namespace: {name}.mail\n  states:\n{written}", "fsm.yaml"
    )


def test_all_actions_of_all_states_are_loaded(package):
    """One object for each dotted name; a state without an action needs none."""
    name = package(mail=ACTION + ACTION.replace("Act", "Other"))
    loaded = load_actions(definitions(name, "action: Act", "action: Other", "action: Act", "fan_in: 3"))
    assert {f"{name}.mail.Act", f"{name}.mail.Other"} == set(loaded)
    assert len(loaded) == 2
    assert loaded[f"{name}.mail.Act"].execute({}, {}) == "ok"
    assert loaded.warnings == ()


def test_an_action_that_is_false_or_empty_is_still_an_action(package):
    """A class may define __bool__ or __len__; its object is made once."""
    code = (
        "made = []\n"
        + ACTION
        + "    def __init__(self):\n        made.append(self)\n"
        + "    def __bool__(self):\n        return False\n"
    )
    name = package(mail=code)
    load_actions(definitions(name, "action: Act", "action: Act"))
    assert len(sys.modules[f"{name}.mail"].made) == 1


@pytest.mark.fantasm(38)
def test_every_problem_of_every_action_is_told_with_its_place(package):
    """In the order of the file; a class that several states name is told once."""
    name = package(mail=ACTION)
    with pytest.raises(DefinitionError) as caught:
        load_actions(
            definitions(
                name, "action: Atc", "action: os.nonesuch.X", "action: Atc", "continuation: on, action: Act"
            )
        )
    problems = caught.value.problems
    assert [problem.line for problem in problems] == [5, 6, 8]
    assert [p.source[p.column - 1 :].split()[0] for p in problems] == ["Atc}", "os.nonesuch.X}", "on,"]
    assert problems[2].message == "state 'S3' is a continuation, but 'Act' has no method continuation()"


@pytest.mark.fantasm(39)
def test_a_continuation_that_would_never_be_called_is_a_warning(package):
    """The state does not say that it is one; where it does, all is well."""
    name = package(
        mail=ACTION + "    def continuation(self, context, obj, token=None):\n        return None\n"
    )
    assert load_actions(definitions(name, "continuation: on, action: Act")).warnings == ()
    (warning,) = load_actions(definitions(name, "action: Act")).warnings
    assert (warning.severity, warning.line) == ("warning", 5)
    assert warning.message == "'Act' has a method continuation(), but state 'S0' is no continuation"


def test_definitions_without_places_have_loadable_actions(package):
    """Definitions that were made by hand come from no file; a problem points at the name itself."""
    name = package(mail=ACTION)
    by_hand = Definitions(definitions(name, "action: Act").machines)
    assert [f"{name}.mail.Act"] == list(load_actions(by_hand))
    wrong = Definitions(definitions(name, "action: Gone").machines)
    with pytest.raises(
        DefinitionError, match=r"<action>:1:1: error: module .* has no class or function 'Gone'"
    ):
        load_actions(wrong)


# functions

FUNCTIONS = """\
import functools

def send(context, obj):
    return f"sent {context} {obj}"

def wide(context, obj, again=False, *more, **other):
    return "wide"

def supplied(function):
    @functools.wraps(function)
    def with_database(*given):
        return function(*given, "database")
    return with_database

@supplied
def decorated(context, obj, database):
    return database

def three(context, obj, token):
    return token

half = functools.partial(three, token="half")

class Callable:
    def __call__(self, context, obj):
        return "called"

an_object = Callable()
a_method = an_object.__call__
builtin = max

def one(context):
    return "one"

def named(*, context, obj):
    return "named"

async def later(context, obj):
    return "later"

async def more_later(context, obj):
    yield "later"

def several(context, obj):
    yield "several"

later_half = functools.partial(later)

class Later:
    async def __call__(self, context, obj):
        return "later"

a_later_object = Later()

class Act:
    @staticmethod
    def execute(context, obj):
        return "static"

class Selfless:
    def execute(context, obj):
        return "no"

class LaterAct:
    async def execute(self, context, obj):
        return "later"

class Pages:
    def execute(self, context, obj):
        return "ok"
    def continuation(self, context, obj):
        return None

class Broken:
    def execute(self, context, obj):
        return "ok"
    @property
    def continuation(self):
        raise SystemExit("no")
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("send", "sent 1 2"),
        ("wide", "wide"),
        ("decorated", "database"),
        ("half", "half"),
        ("an_object", "called"),
        ("a_method", "called"),
        ("builtin", 2),
        ("Act", "static"),
    ],
)
def test_a_function_is_an_action(package, name, expected):
    """Any callable that takes the context and obj; a decorator may supply what it wraps with more."""
    module = f"{package(functions=FUNCTIONS)}.functions"
    assert expected == resolve_action(f"{module}.{name}").execute(1, 2)
    assert repr(resolve_action(f"{module}.send")).startswith("FunctionAction(<function send")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one", "'{n}.one' does not take (context, obj): too many positional arguments"),
        ("named", "'{n}.named' does not take (context, obj): "),
        ("three", "'{n}.three' does not take (context, obj): missing a required argument: 'token'"),
        ("later", "'{n}.later' is a coroutine function: a call does not run it; "),
        ("later_half", "'{n}.later_half' is a coroutine function: a call does not run it; "),
        ("a_later_object", "'{n}.a_later_object' is a coroutine function: a call does not run it; "),
        ("more_later", "'{n}.more_later' is an asynchronous generator function: a call does not run it; "),
        ("several", "'{n}.several' is a generator function: a call does not run it; "),
        ("Selfless", "execute of '{n}.Selfless' does not take (context, obj): too many positional arguments"),
        ("LaterAct", "execute of '{n}.LaterAct' is a coroutine function: a call does not run it; "),
        ("functools", "'{n}.functools' is neither a class nor a function but a module"),
        ("Callable", "'{n}.Callable' has no method execute(); add execute(self, context, obj)"),
        ("sned", "module '{n}' has no class or function 'sned'; did you mean 'send'?"),
    ],
)
def test_a_callable_that_could_not_run_to_an_event_is_told(package, name, message):
    """It would fail, or seem to succeed, in every step; here it is one problem."""
    module = f"{package(functions=FUNCTIONS)}.functions"
    assert refusal(f"{module}.{name}").startswith(message.replace("{n}", module))


@pytest.mark.parametrize(
    "code",
    [
        "raise BaseException('gone')\n",
        "raise GeneratorExit\n",
        "class Act:\n    def __init__(self):\n        raise GeneratorExit\n",
        "class Meta(type):\n    def __call__(cls):\n        raise SystemExit\nclass Act(metaclass=Meta):\n    pass\n",
        "def __getattr__(name):\n    raise SystemExit\n",
        "class T:\n    def __getattribute__(self, name):\n        raise SystemExit\nAct = T()\n",
        "class T:\n    def __call__(self, c, o): ...\n    @property\n    def __signature__(self):\n        raise OSError\n"
        "Act = T()\n",
        "class Act:\n    def execute(self, c, o): ...\n    execute.__signature__ = 3\n",
    ],
)
def test_users_code_never_ends_in_a_traceback(package, code):
    """Whatever it raises, and wherever: one problem, or an action."""
    name = package(mail=code)
    try:
        found = [resolve_action(f"{name}.mail.Act")]
    except DefinitionError as error:
        found = list(error.problems)
    assert 1 == len(found)


def test_an_interrupt_is_no_mistake_of_the_file(package):
    """Whoever presses the keys wants the program to end."""
    name = package(mail="raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        resolve_action(f"{name}.mail.Act")


# entry, exit, and actions of transitions


def whole(name: str) -> Definitions:
    """A machine that names six actions, one of them twice."""
    return parse_text(
        f"state_machines:\n- name: M\n  namespace: {name}.mail\n  states:\n"
        "  - {name: A, initial: on, entry: In, action: Act, exit: Out, transitions:\n"
        "    [{event: e, to: B, action: Go}, {event: f, to: B, action: go}]}\n"
        "  - {name: B, final: on, entry: In, exit: leave}\n",
        "fsm.yaml",
    )


@pytest.mark.fantasm(31, 34, 51)
def test_everything_that_runs_is_loaded(package):
    """Entries, actions, exits and actions of transitions, each name once."""
    name = package(
        mail="".join(ACTION.replace("Act", each) for each in ("In", "Act", "Out", "Go"))
        + "def go(context, obj): return None\n"
        + "def leave(context, obj): return None\n"
    )
    assert [f"{name}.mail.{each}" for each in ("In", "Act", "Out", "Go", "go", "leave")] == list(
        load_actions(whole(name))
    )


@pytest.mark.fantasm(35, 36, 40, 52)
def test_everything_that_cannot_run_is_told_at_its_place(package):
    """A class that is missing, one without execute, a function of another kind: all at once."""
    name = package(mail="class In: pass\nclass Act: pass\nasync def go(c, o): ...\ndef leave(): ...\n")
    with pytest.raises(DefinitionError) as caught:
        load_actions(whole(name))
    pointed = [(p.line, p.source[p.column - 1 :].split(",")[0].rstrip("}]")) for p in caught.value.problems]
    assert [(5, "In"), (5, "Act"), (5, "Out"), (6, "Go"), (6, "go"), (7, "leave")] == pointed
    messages = [problem.message for problem in caught.value.problems]
    assert f"'{name}.mail.In' has no method execute()" == messages[0]
    assert f"module '{name}.mail' has no class or function 'Go'" == messages[3]
    with pytest.raises(DefinitionError) as caught:
        load_actions(whole(f"{name}.nonesuch"))
    (problem,) = caught.value.problems
    assert "5 more actions need it" == problem.hint


def test_a_module_that_cannot_be_imported_is_tried_and_told_once(package):
    """At the first action that needs it, with the number of those that need it, too; others are told."""
    name = package(mail="import fantasm.action\n")
    text = (
        "state_machines:\n- name: M\n  states:\n"
        f"  - {{name: A, initial: on, entry: {name}.mail.a, action: {name}.mail.b, exit: {name}.mail.a,\n"
        f"     final: on}}\n  - {{name: B, final: on, action: {name}.gone.x}}\n"
    )
    with pytest.raises(DefinitionError) as caught:
        load_actions(parse_text(text, "f", resolve_names=False))
    one, other = caught.value.problems
    assert one.message.startswith(f"module '{name}.mail' cannot be imported: ModuleNotFoundError: No module")
    assert (
        "write fantasm_gcp instead of fantasm; docs/migrating.md has the list; 1 more action needs it"
        == one.hint
    )
    assert f"there is no module '{name}.gone'" == other.message


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("import fantasm", "write fantasm_gcp instead of fantasm; docs/migrating.md has the list"),
        ("from fantasm.action import FSMAction", "write fantasm_gcp instead of fantasm; "
         "docs/migrating.md has the list"),
        ("from google.appengine.ext import db", "App Engine's old SDK is gone; "
         "docs/migrating.md tells what takes its place"),
        ("try:\n    import google.appengine.ext.ndb\nexcept ImportError as error:\n    raise ValueError from error",
         "App Engine's old SDK is gone; docs/migrating.md tells what takes its place"),
        ("import fantasmic_nonesuch", ""),
        ("import google.appengines", ""),
    ],
)  # fmt: skip
def test_a_module_of_fantasm_or_of_the_old_sdk_is_told_what_takes_its_place(package, code, hint):
    """Wherever in a chain of causes it is missing, and for no other module."""
    name = package(mail=code + "\n")
    with pytest.raises(DefinitionError) as caught:
        resolve_action(f"{name}.mail.act")
    assert [hint] == [each.hint for each in caught.value.problems]


def test_a_module_of_fantasm_itself_as_an_action_is_told_what_takes_its_place():
    """The name in the file may be Fantasm's as well."""
    with pytest.raises(DefinitionError) as caught:
        resolve_action("fantasm.action.FSMAction")
    (problem,) = caught.value.problems
    assert (
        "there is no module 'fantasm'",
        "write fantasm_gcp instead of fantasm; docs/migrating.md has the list",
    ) == (
        problem.message,
        problem.hint,
    )


@pytest.mark.fantasm(38)
def test_a_function_cannot_be_a_continuation(package):
    """It has nothing that reads pages."""
    name = package(mail="def act(context, obj): return 'ok'\n")
    with pytest.raises(DefinitionError, match="but 'act' has no method continuation"):
        load_actions(definitions(name, "continuation: on, action: act"))


def test_a_continuation_takes_the_token(package):
    """It would fail on the first page."""
    name = package(mail=FUNCTIONS)
    with pytest.raises(DefinitionError, match=r"does not take \(context, obj, token\)"):
        load_actions(definitions(name, "continuation: on, action: Pages"))


def test_a_continuation_that_cannot_be_had_is_told(package):
    """A property may raise anything."""
    name = package(mail=FUNCTIONS)
    with pytest.raises(DefinitionError, match=r"continuation of '.*Broken' cannot be had: SystemExit: no"):
        load_actions(definitions(name, "action: Broken"))


def test_an_entry_with_a_method_continuation_is_no_warning(package):
    """Only a state's action could have it called."""
    name = package(mail=ACTION + "    def continuation(self, context, obj, token=None): ...\n")
    by_entry = parse_text(
        f"state_machines: [{{name: M, states: [{{name: S, initial: on, final: on, entry: {name}.mail.Act}}]}}]",
        "f",
    )
    assert () == load_actions(by_entry).warnings
