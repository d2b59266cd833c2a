"""The recipes of docs/emulator.md for tests and containers do what the page says, as they are printed."""

import json
import os
import socket
import urllib.request
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from fantasm_gcp.cli.main import main

ROOT = Path(__file__).parents[2]
VARIABLES = ("CLOUD_TASKS_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")


def block(language, word):
    """The code block of the page that holds a word."""
    blocks = (ROOT / "docs" / "emulator.md").read_text().split("```")[1::2]
    return next(
        each.removeprefix(language) for each in blocks if each.startswith(f"{language}\n") and word in each
    )


class Config:
    """What the recipe asks of pytest's."""

    def __init__(self):
        self.cleanups = []

    def add_cleanup(self, cleanup):
        self.cleanups.append(cleanup)


def test_the_recipe_starts_an_emulator_and_stops_it(tmp_path, monkeypatch):
    """Its addresses are in the environment at once, the recipe beside it controls it, and it ends in time."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    conftest, tests, config = {}, {}, Config()
    exec(block("python", "def pytest_configure"), conftest)
    try:
        conftest["pytest_configure"](config)
        exec(block("python", "def nothing_left").replace("@pytest.fixture(autouse=True)\n", ""), tests)
        tests["nothing_left"]()
        tests["control"]("clock/advance", seconds=86_400)
        with urllib.request.urlopen(f"http://{os.environ[VARIABLES[0]]}/api/clock") as answer:
            assert 86_400 == json.load(answer)["shift_seconds"]
        assert tests["control"]("wait", scheduled=True)["idle"]
    finally:
        for cleanup in config.cleanups:
            cleanup()
    for variable in VARIABLES[:2]:
        host, _, port = os.environ[variable].partition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))
    assert [] == list(tmp_path.iterdir())


def test_the_containers_are_started_with_options_that_there_are(tmp_path, monkeypatch):
    """The command of the compose file is taken up to the port, which is in use here, and is told apart."""
    services = yaml.safe_load(block("yaml", "depends_on"))["services"]
    command, *options = services["emulator"]["command"].split()[1:]
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        moved = [each for each in options if each.partition("=")[0] not in ("--data", "--host")]
        result = CliRunner().invoke(main, [command, "datastore", *moved, f"--datastore-port={port}"])
    assert (2, f"port {port} of 127.0.0.1 cannot be used") == (
        result.exit_code,
        result.output.removeprefix("fantasm: ").partition(" (")[0],
    )
    assert services["app"]["environment"]["DATASTORE_EMULATOR_HOST"].startswith("emulator:")
    assert "--name=emulator" in options
