"""`fantasm check`: problems in three forms, and exit statuses."""

import json
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
    assert "nowhere.yaml:1:1: error: the file cannot be read: No such file or directory" in answer.output


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


@pytest.mark.parametrize("text", ["", "\x00", "a: [", "\ufeff"])
def test_what_is_no_definition_is_told_without_a_traceback(runner, text):
    """Hostile input is a problem with a place."""
    answer = check(runner, text)
    assert 2 == answer.exit_code
    assert answer.output.startswith("fsm.yaml:")
    assert ": error: " in answer.output
    assert isinstance(answer.exception, SystemExit)
