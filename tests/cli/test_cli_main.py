"""The command as a whole: its help, its version, what it does not load."""

import re
import subprocess
import sys

import pytest
from dev_child import ROOT, clean_environ

from fantasm_gcp.cli.main import VERBS, main


def test_help_names_every_verb(runner):
    """Someone who knows nothing finds the verbs."""
    answer = runner.invoke(main, ["--help"])
    assert 0 == answer.exit_code
    assert list(VERBS) == re.findall(r"^  (\w+)  ", answer.output, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(runner, verb):
    """Each has a help of its own that begins with how it is used."""
    answer = runner.invoke(main, [verb, "--help"], prog_name="fantasm")
    assert 0 == answer.exit_code
    assert answer.output.startswith(f"Usage: fantasm {verb} ")


def test_the_version_is_that_of_the_source_tree(runner):
    """The number is written once, in pyproject.toml."""
    assert f'version = "{runner.invoke(main, ["--version"]).output.split()[1]}"' in (
        ROOT / "pyproject.toml"
    ).read_text(encoding="utf-8")


def test_a_misspelt_verb_is_guessed(runner):
    """The nearest verb is offered, with the status for wrong usage."""
    answer = runner.invoke(main, ["strat"])
    assert 2 == answer.exit_code
    assert "there is no command 'strat'; did you mean 'start'?" in answer.output


def test_an_unlike_verb_gets_the_list(runner):
    """Where nothing is near, all are named."""
    assert f"the commands are: {', '.join(VERBS)}" in runner.invoke(main, ["zzz"]).output


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--no-import"], ["graph", "MyMachine"]])
def test_light_verbs_load_neither_flask_nor_google(arguments):
    """What needs no server does not pay for one."""
    program = (
        "import sys\nfrom fantasm_gcp.cli.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "heavy = {'flask', 'werkzeug', 'grpc', 'google'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean_environ(), capture_output=True, text=True
    )
    assert (0, "") == (done.returncode, done.stderr)
