"""The deployment guides and their blocks. Run as a program it writes anew what `fantasm setup` prints in them."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from fantasm_gcp.cli.main import main

ROOT = Path(__file__).parents[2]
GUIDES = (ROOT / "docs" / "deploy-app-engine.md", ROOT / "docs" / "deploy-cloud-run.md")

_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_SETUP = re.compile(r"<!-- setup: (.*?) -->\n.*?<!-- end -->", re.DOTALL)


def blocks(guide, *languages):
    """The blocks of a guide in some languages, in order; those that `fantasm setup` prints are among them."""
    return [text for language, text in _BLOCK.findall(guide.read_text()) if language in languages]


def run(line):
    """What the command line prints and its status, in the project's folder, for ``NAME=value ... verb --option``.

    Of the settings of this machine it sees none.
    """
    words = shlex.split(line)
    given = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
    ours = re.compile("FANTASM_|GAE_|K_|GOOGLE_CLOUD_PROJECT|.*EMULATOR_HOST")
    environ = {name: None for name in os.environ if ours.match(name)} | given
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return CliRunner(env=environ).invoke(main, words[len(given) :])
    finally:
        os.chdir(before)


def with_setup(text):
    """A guide with what `fantasm setup` prints now between the marks that name its arguments."""

    def write(found):
        told = run(re.sub("(^|(?<= ))(?=(app-engine|cloud-run) )", "setup ", found[1]))
        assert 0 == told.exit_code, told.output
        return f"<!-- setup: {found[1]} -->\n```sh\n{told.stdout}```\n<!-- end -->"

    return _SETUP.sub(write, text)


if __name__ == "__main__":
    for each in GUIDES:
        each.write_text(with_setup(each.read_text()))
