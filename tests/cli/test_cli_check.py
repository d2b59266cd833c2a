"""`fantasm check`: problems in three forms, and exit statuses."""

import json
import os
import sys

import pytest

from fantasm_gcp.cli.check import render_annotation
from fantasm_gcp.cli.main import main
from fantasm_gcp.errors import Problem

RIGHT = """\
state_machines:
- name: M
  states:
  - name: A
    action: checked_actions.Act
    initial: true
    final: true
"""
WARNED = RIGHT + "  - name: B\n    final: true\n"
WRONG = RIGHT.replace("initial:", "inital:").replace("final:", "finall:")


def check(runner, text, *arguments):
    with open("fsm.yaml", "w", encoding="utf-8") as file:
        file.write(text)
    return runner.invoke(main, ["check", *arguments])


def test_a_right_file_is_summed_up(runner):
    """Nothing to complain about is one line and status 0."""
    answer = check(runner, RIGHT, "--no-import")
    assert (0, "fsm.yaml: 1 machine, 1 state, 0 errors, 0 warnings\n") == (answer.exit_code, answer.output)


def test_warnings_alone_are_status_1(runner):
    """A state that cannot be reached does not stop a start, but a pipeline may want to know."""
    answer = check(runner, WARNED, "--no-import")
    assert 1 == answer.exit_code
    assert answer.output == (
        "fsm.yaml:8:11: warning: state 'B' cannot be reached from 'A'\n"
        "    8 |   - name: B\n"
        "      |           ^\n"
        "fsm.yaml: 1 machine, 2 states, 0 errors, 1 warning\n"
    )


def test_all_errors_are_shown_with_status_2(runner):
    """The second mistake does not wait for the first to be corrected."""
    answer = check(runner, WRONG)
    assert 2 == answer.exit_code
    assert "unknown attribute 'inital' on state 'A'; did you mean 'initial'?" in answer.output
    assert "unknown attribute 'finall' on state 'A'; did you mean 'final'?" in answer.output
    assert "Traceback" not in answer.output


def test_json_has_every_field_of_a_problem(runner):
    """A program gets the same findings, and how many of each."""
    told = json.loads(check(runner, WARNED, "--no-import", "--format", "json").output)
    assert ("fsm.yaml", 0, 1) == (told["file"], told["errors"], told["warnings"])
    assert {
        "severity": "warning",
        "file": "fsm.yaml",
        "line": 8,
        "column": 11,
        "source": "  - name: B",
        "message": "state 'B' cannot be reached from 'A'",
        "hint": "",
    } == told["problems"][0]


def test_github_annotations_name_the_place(runner):
    """One workflow command for each problem, and nothing else."""
    output = check(runner, WARNED, "--no-import", "--format", "github").output
    assert "::warning file=fsm.yaml,line=8,col=11::state 'B' cannot be reached from 'A'\n" == output


def test_an_annotation_cannot_be_forged():
    """What stands in a file must not end the annotation and begin another command."""
    problem = Problem("error", "a,b:c.yaml", 1, 2, "", "50%\n::set-output name=x::y", "hint\r")
    expected = "::error file=a%2Cb%3Ac.yaml,line=1,col=2::50%25%0A::set-output name=x::y; hint%0D"
    assert expected == render_annotation(problem)


def test_a_missing_file_is_a_problem_like_others(runner):
    """The file's name and the reason, status 2."""
    answer = runner.invoke(main, ["check", "nowhere.yaml"])
    assert 2 == answer.exit_code
    assert f"nowhere.yaml:1:1: error: there is no file 'nowhere.yaml' in {os.getcwd()}\n" in answer.output


def test_actions_are_looked_for_beside_the_file(runner, tmp_path, monkeypatch):
    """An application is checked from anywhere."""
    monkeypatch.delitem(sys.modules, "checked_actions", raising=False)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "fsm.yaml").write_text(RIGHT)
    (tmp_path / "app" / "checked_actions.py").write_text("class Act:\n    def execute(self, c, o): ...\n")
    answer = runner.invoke(main, ["check", "app/fsm.yaml"])
    monkeypatch.delitem(sys.modules, "checked_actions", raising=False)
    assert (0, "app/fsm.yaml: 1 machine, 1 state, 0 errors, 0 warnings\n") == (
        answer.exit_code,
        answer.output,
    )


def test_an_action_that_is_not_there_is_an_error_unless_left_out(runner):
    """--no-import is for where the application's packages are not installed."""
    assert 2 == check(runner, RIGHT.replace("checked_actions", "no_such_module_here")).exit_code
    assert (
        0 == check(runner, RIGHT.replace("checked_actions", "no_such_module_here"), "--no-import").exit_code
    )


def write_modules(tmp_path, monkeypatch, **modules):
    for name, code in modules.items():
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(code)


ACTION = "class Act:\n    def execute(self, context, obj): ...\n"


def test_problems_of_imported_files_are_shown_with_their_own_names(runner, tmp_path):
    """Those of the file itself first."""
    (tmp_path / "a.yaml").write_text(WRONG)
    answer = check(runner, "import: [a.yaml, gone.yaml]\ncolour: red\n", "--no-import")
    assert 2 == answer.exit_code
    assert [
        "fsm.yaml:1:18: error: 'gone.yaml' cannot be read: No such file or directory",
        "fsm.yaml:2:1: error: unknown attribute 'colour' on the file; known here: root_url, import, state_machines",
        "a.yaml:6:5: error: unknown attribute 'inital' on state 'A'; did you mean 'initial'?",
        "a.yaml:7:5: error: unknown attribute 'finall' on state 'A'; did you mean 'final'?",
        "fsm.yaml: 4 errors, 0 warnings",
    ] == [line for line in answer.output.splitlines() if not line.startswith(" ")]


def test_imported_machines_are_counted_and_warned_of(runner, tmp_path, monkeypatch):
    """The sum is of the whole application; the built-in machine is nobody's own."""
    write_modules(tmp_path, monkeypatch, checked_actions=ACTION)
    (tmp_path / "a.yaml").write_text(RIGHT.replace("name: M", "name: N\n  max_retries: 3"))
    answer = check(runner, "import: a.yaml\n" + WARNED)
    assert 1 == answer.exit_code
    assert [
        "fsm.yaml:9:11: warning: state 'B' cannot be reached from 'A'",
        "a.yaml:3:3: warning: max_retries is an old name; write task_retry_limit",
        "fsm.yaml: 2 machines, 3 states, 0 errors, 2 warnings",
    ] == [line for line in answer.output.splitlines() if not line.startswith(" ")]


def test_types_of_arguments_are_looked_for_with_the_actions(runner, tmp_path, monkeypatch):
    """The problems of both come in the order of the file."""
    write_modules(tmp_path, monkeypatch, checked_actions="def not_an_action(): ...\n")
    text = RIGHT.replace("name: M", "name: M\n  context_types: {a: checked_actions.Type}")
    answer = check(runner, text.replace("Act", "not_an_action"))
    assert 2 == answer.exit_code
    assert [
        "fsm.yaml:3:22: error: module 'checked_actions' has no callable 'Type'",
        "fsm.yaml:6:13: error: 'checked_actions.not_an_action' does not take (context, obj): too many positional "
        "arguments; it is called with these in order",
        "fsm.yaml: 1 machine, 1 state, 2 errors, 0 warnings",
    ] == [line for line in answer.output.splitlines() if not line.startswith(" ")]
    assert 0 == check(runner, text, "--no-import").exit_code


def test_constants_are_looked_for_beside_the_file(runner, tmp_path, monkeypatch):
    """Events may be constants of the application's modules; without imports they stand for themselves."""
    write_modules(tmp_path, monkeypatch, checked_events="EVENT_OK = 'ok'\n" + ACTION)
    text = RIGHT.replace("checked_actions.Act", "Act").replace(
        "name: M", "name: M\n  namespace: checked_events"
    )
    text += "    transitions:\n    - {event: EVENT_OK, to: A}\n    - {event: ok, to: A}\n"
    (tmp_path / "app").mkdir()
    answer = check(runner, text)
    assert 2 == answer.exit_code
    assert "error: the event 'ok' is taken by another transition" in answer.output
    assert 0 == check(runner, text, "--no-import").exit_code


@pytest.mark.parametrize("text", ["", "\x00", "a: [", "\ufeff"])
def test_what_is_no_definition_is_told_without_a_traceback(runner, text):
    """Hostile input is a problem with a place."""
    answer = check(runner, text)
    assert 2 == answer.exit_code
    assert answer.output.startswith("fsm.yaml:")
    assert ": error: " in answer.output
    assert isinstance(answer.exception, SystemExit)
