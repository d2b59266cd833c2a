"""Another root_url moves every path, the steps' too."""

from __future__ import annotations

import pytest

from fantasm_gcp.testing import Harness

TEXT = """\
root_url: {root}
state_machines:
- name: Walk
  namespace: leaving
  states:
  - {{name: First, action: pass_on, initial: true, transitions: [{{event: ok, to: Last}}]}}
  - {{name: Last, action: note, final: true}}
"""


@pytest.fixture(params=["/office/flows", "/office/flows/", "office/flows"])
def harness(request, tmp_path):
    (tmp_path / "fsm.yaml").write_text(TEXT.format(root=request.param))
    with Harness(tmp_path / "fsm.yaml") as made:
        yield made


@pytest.mark.fantasm(24, 69, 102)
def test_machines_are_started_and_run_below_it(harness):
    """The URL of the start, and those of the steps."""
    answer = harness.client.get("/office/flows/fsm/Walk/?a=1").json
    paths = []
    while (attempt := harness.next_attempt()) is not None:
        paths.append(attempt.delivery.url.partition("?")[0])
        harness.deliver(attempt)
    assert [
        "/office/flows/fsm/Walk/pseudo-init/pseudo-init/First/",
        "/office/flows/fsm/Walk/First/ok/Last/",
    ] == paths
    assert "completed" == harness.client.get(answer["status_url"]).json["status"]


@pytest.mark.parametrize(
    "path", ["/", "/api/machines", "/graphviz/Walk/", "/graph/Walk", "/machines/Walk", "/instances"]
)
def test_pages_and_api_are_below_it_and_nowhere_else(harness, path):
    """What a page links to is there, too."""
    page = harness.client.get(f"/office/flows{path}")
    assert (200, 404) == (page.status_code, harness.client.get(f"/fantasm{path}").status_code)
    assert "/fantasm/" not in page.text.replace("github.com/iki/fantasm", "")


def test_what_is_not_there_names_the_console_of_this_root(harness):
    """And the words for people who open a step's address."""
    assert "the console is at /office/flows/" in harness.client.get("/office/flows/nothing").json["error"]
    step = harness.client.get("/office/flows/fsm/Walk/First/ok/Last/").json["error"]
    assert "people start /office/flows/fsm/Walk/" in step
