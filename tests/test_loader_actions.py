"""Users' code as it comes: missing, failing, or no action at all, never a bare traceback."""

from __future__ import annotations

import importlib
import sys

import pytest

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import load_actions, parse_text, resolve_action


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes modules of a package that exists for one test; gives its name."""
    name = f"shop_of_{tmp_path.name}"
    (tmp_path / name).mkdir()

    def write(**modules: str) -> str:
        for module, code in {"__init__": "", **modules}.items():
            (tmp_path / name / f"{module}.py").write_text(code, encoding="utf-8")
        importlib.invalidate_caches()
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    for module in [each for each in sys.modules if each.split(".")[0] == name]:
        del sys.modules[module]


ACTION = "class Act:\n    def execute(self, context, obj):\n        return 'ok'\n"


def refusal(dotted: str) -> str:
    """What is said about an action that cannot be resolved: message and hint."""
    with pytest.raises(DefinitionError) as caught:
        resolve_action(dotted)
    (problem,) = caught.value.problems
    assert ("<action>", 1, 1, dotted) == (problem.file, problem.line, problem.column, problem.source)
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message


def test_an_action_is_an_object_of_its_class(package):
    """Made without arguments, anew for every call."""
    name = package(mail=ACTION)
    action = resolve_action(f"{name}.mail.Act")
    assert action.execute({}, {}) == "ok"
    assert action is not resolve_action(f"{name}.mail.Act")
    assert type(action) is type(resolve_action(f"{name}.mail.Act"))


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


def test_a_class_that_is_not_there_is_told_with_a_likely_one(package):
    """The hint is a class of the module, never a constant."""
    name = package(mail=ACTION + "ACTS = 3\n")
    expected = f"module '{name}.mail' has no class 'Atc'; did you mean 'Act'?"
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


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def Act():\n    pass\n", "'{name}.mail.Act' is not a class but an object of type 'function'"),
        ("import os as Act\n", "'{name}.mail.Act' is not a class but a module"),
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
    with pytest.raises(DefinitionError, match=r"<action>:1:1: error: module .* has no class 'Gone'"):
        load_actions(wrong)
