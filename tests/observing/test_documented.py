"""docs/observing.md says which fields, labels and commands there are."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

import pytest
import tracing
import yaml

from fantasm_gcp.core.records import Outcome
from fantasm_gcp.testing import Harness

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observing.md").read_text()


@pytest.fixture
def told(caplog):
    """What the lines of a few machines tell, and the labels that their actions ran under."""
    caplog.set_level(logging.INFO, "fantasm_gcp.steps")
    tracing.SEEN.clear()
    with Harness(ROOT / "tests" / "scenarios" / "tracing.yaml") as harness:
        for url in ("Failing/?bad=9", "Slow/", "Loose/", "Line/"):
            harness.start(url)
        attempt = harness.next_attempt()
        harness.answer(attempt)
        harness.answer(attempt)
        harness.run()
    return [each.fantasm for each in caplog.records if each.name == "fantasm_gcp.steps"]


def documented(heading):
    part = PAGE.split(heading, 1)[1].split("\n#", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_field_of_a_steps_line_is_documented_and_no_other(told):
    """The table has what lines have."""
    assert documented("## The line of a step") == {name for each in told for name in each}


def test_every_label_is_documented():
    """And every label that is documented is there."""
    with Harness(ROOT / "tests" / "scenarios" / "tracing.yaml") as harness:
        tracing.SEEN.clear()
        harness.start("Line/")
        harness.run()
    names = {name for name in documented("## Log lines") if name.startswith("fantasm_")}
    assert names == set(tracing.SEEN[0][1].labels)


def test_every_outcome_is_documented():
    """Those of the rows."""
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `outcome`")]
    assert {each.value for each in Outcome} == set(re.findall(r"`(\w+)`", row)) - {"outcome"}


def test_the_files_of_the_commands_are_there_and_speak_of_fields_that_exist(told):
    """Each command names a file that the page shows; each field in it is one of a line."""
    files = {
        name: yaml.safe_load(text)
        for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    }
    assert set(re.findall(r"-file=(\S+)", PAGE)) == set(files)
    fields = {name for each in told for name in each}
    used = set(re.findall(r"jsonPayload\.fantasm\.(\w+)", str(files)))
    assert used <= fields
    for metric in (files["steps.yaml"], files["durations.yaml"]):
        labels = {each["key"] for each in metric["metricDescriptor"]["labels"]}
        assert labels == set(metric["labelExtractors"])


def test_the_python_that_is_shown_runs(capsys):
    """The handler of one's own writes a line of JSON."""
    shown = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, shown)
    shown["handler"].setStream(sys.stdout)
    shown["handler"].handle(logging.LogRecord("myapp", 20, "", 0, "hello", (), None))
    assert "hello" == json.loads(capsys.readouterr().out)["message"]
