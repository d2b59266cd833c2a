"""`fantasm graph`: drawings without a server."""

import pytest
from small_application import DEFINITIONS

from fantasm_gcp.cli.main import main


@pytest.fixture(autouse=True)
def definitions(runner, tmp_path):
    (tmp_path / "fsm.yaml").write_text(DEFINITIONS, encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [([], "<svg"), (["-f", "dot"], 'digraph "Walk"'), (["--format", "mermaid"], "stateDiagram-v2")],
)
def test_each_form_goes_to_standard_output(runner, arguments, beginning):
    """The text alone, with one newline at its end."""
    answer = runner.invoke(main, ["graph", "Walk", *arguments])
    assert 0 == answer.exit_code
    assert answer.output.startswith(beginning)
    assert answer.output.endswith("\n")
    assert not answer.output.endswith("\n\n")


def test_a_drawing_goes_into_a_file(runner, tmp_path):
    """With -o nothing is printed."""
    answer = runner.invoke(main, ["graph", "Walk", "-o", "walk.svg"])
    assert (0, "") == (answer.exit_code, answer.output)
    assert (tmp_path / "walk.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_file_that_cannot_be_written_is_one_line(runner):
    """Status 2 and the reason."""
    answer = runner.invoke(main, ["graph", "Walk", "-o", "no/such/directory.svg"])
    expected = "fantasm: no/such/directory.svg cannot be written: No such file or directory\n"
    assert (2, expected) == (answer.exit_code, answer.output)


def test_a_misspelt_machine_is_guessed(runner):
    """The nearest machine is offered."""
    answer = runner.invoke(main, ["graph", "Wolk"])
    expected = "fantasm: there is no machine 'Wolk' in fsm.yaml; did you mean 'Walk'?\n"
    assert (2, expected) == (answer.exit_code, answer.output)


def test_an_unlike_machine_gets_the_list(runner):
    """Where nothing is near, all are named."""
    assert "the machines are: Party, Walk, Errand" in runner.invoke(main, ["graph", "Zzzzzz"]).output


def test_a_wrong_file_is_told_with_its_problems(runner, tmp_path):
    """As `fantasm check` tells them."""
    (tmp_path / "fsm.yaml").write_text("state_machines: 1\n")
    answer = runner.invoke(main, ["graph", "Walk"])
    assert 2 == answer.exit_code
    assert "fsm.yaml:1:17: error:" in answer.output
