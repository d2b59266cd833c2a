"""The documentation says what the code does: tables, blocks that run, links that lead somewhere."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
from google.cloud import datastore
from tables import with_tables

from fantasm_gcp import errors
from fantasm_gcp.builtin import MACHINES
from fantasm_gcp.loader import load_definitions, parse_text
from fantasm_gcp.testing import Harness

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_code(page):
    """`python tests/project/tables.py` writes them anew."""
    assert with_tables(page.read_text()) == page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fsm_yaml_that_is_shown_loads(page):
    """Without an error and without a warning."""
    for language, block in BLOCK.findall(page.read_text()):
        if language == "yaml" and "state_machines:" in block:
            assert () == parse_text(block, page.name).warnings


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    """Within the project; a picture too."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_example_runs_as_it_is_printed(tmp_path):
    """The fsm.yaml and the action that one can copy are started and end as the text says."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    yaml = next(block for language, block in blocks if language == "yaml")
    python = next(block for language, block in blocks if language == "python" and "def execute" in block)
    module = types.ModuleType("greetings")
    exec(python, module.__dict__)
    sys.modules["greetings"] = module
    (tmp_path / "fsm.yaml").write_text(yaml)
    try:
        with Harness(tmp_path / "fsm.yaml") as harness:
            started = harness.start("Greet/?name=Ada").json
            harness.run()
            shown = harness.get(f"instances/{started['instance']}")
            assert ("completed", 2) == (shown["status"], len(shown["steps"]["items"]))
    finally:
        del sys.modules["greetings"]


def test_the_example_of_actions_runs_as_it_is_printed(tmp_path):
    """Pages, forks, a halt, a delay, a fan-in for each currency, spawned machines, starts from Python."""
    blocks = BLOCK.findall((ROOT / "docs" / "actions.md").read_text())
    module = types.ModuleType("billing")
    for language, block in blocks:
        if language == "python":
            exec(block, module.__dict__)
    sys.modules["billing"] = module
    (tmp_path / "fsm.yaml").write_text(next(block for language, block in blocks if language == "yaml"))
    try:
        with Harness(tmp_path / "fsm.yaml") as harness, harness.app.app_context():
            _put_customers(harness.datastore)
            module.close_month("2026-01")
            module.close_month("2026-01")
            harness.clock.sleep(10)
            harness.run()
            totals = {each.key.name: each["amount"] for each in harness.datastore.query(kind="Total").fetch()}
            letters = [each["to"] for each in harness.datastore.query(kind="Letter").fetch()]
    finally:
        del sys.modules["billing"]
    assert {"CHF": "225.00", "EUR": "141.00"} == totals
    assert 25 == len(set(letters))


def _put_customers(client):
    """25 customers, two of them blocked; every fifth pays in euros."""
    for number in range(26):
        customer = datastore.Entity(client.key("Customer", f"c{number:02}"))
        customer.update(name=f"Customer {number}", amount=f"{number % 5 + 10}.00" if number % 5 else "23.50")
        customer.update(currency="CHF" if number % 5 else "EUR", blocked=number in (7, 8), busy=False)
        client.put(customer)


def test_the_sample_machines_have_no_findings():
    """The file at the top level loads without a warning."""
    definitions = load_definitions(ROOT / "fsm.yaml")
    assert (("SendSubscriberEmail", "MyMachine", *MACHINES), ()) == (
        tuple(definitions.machines),
        definitions.warnings,
    )


def test_the_error_tree_in_the_docstring_is_whole():
    """Every error is drawn where it stands."""
    drawn = re.findall(r"(\w+Error)\b", errors.__doc__.replace("FantasmError\n", "", 1))
    defined = [name for name in vars(errors) if name.endswith("Error") and name != "FantasmError"]
    assert sorted(defined) == sorted(set(drawn))
