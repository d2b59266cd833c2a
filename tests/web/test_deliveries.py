"""What the headers of a delivery say by the target of the tasks, and which definitions fit to a target."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.datastructures import Headers

from fantasm_gcp import DefinitionError, Fantasm, Settings
from fantasm_gcp.settings import APP_ENGINE, CLOUD_RUN
from fantasm_gcp.web.deliveries import Counts, read_counts

URL = "https://app.example"
MACHINE = """state_machines:
- name: M{machine}
  states:
  - name: A
    initial: True
    action: builtins.print
    transitions:
    - {{event: go, to: B{transition}}}
    - {{event: stop, to: B}}
  - name: B
    action: builtins.print
    final: True
"""


def headers(prefix, **values):
    return Headers([(f"{prefix}{name}", value) for name, value in values.items()])


@pytest.mark.parametrize(
    ("prefix", "app_engine"), [("X-AppEngine-", True), ("X-Appengine-", True), ("X-CloudTasks-", False)]
)
def test_only_the_headers_of_the_target_are_read(prefix, app_engine):
    """In whatever case; anybody may have written the others."""
    given = headers(prefix, QueueName="q", TaskRetryCount="5", TaskExecutionCount="3")
    assert Counts("q", 5, 2) == read_counts(given, app_engine=app_engine)
    assert Counts("default", 0, 0) == read_counts(given, app_engine=not app_engine)


@pytest.mark.parametrize(
    ("retries", "answered", "expected"),
    [
        ("0", "0", (0, 0)),
        ("25", "0", (25, 25)),
        ("3", "7", (3, 0)),
        ("2", "x", (2, 2)),
        ("-1", "0", (0, 0)),
        ("1.5", "", (0, 0)),
        ("²", "", (0, 0)),
        ("٣", "", (0, 0)),
        ("9" * 5000, "0", (999_999_999_999, 999_999_999_999)),
    ],
)
def test_counts_that_are_none_or_make_no_sense_are_read_without_failing(retries, answered, expected):
    """They are for whoever delivers to get right, and no reason to lose a step."""
    given = headers("X-CloudTasks-", TaskRetryCount=retries, TaskExecutionCount=answered)
    counts = read_counts(given, app_engine=False)
    assert expected == (counts.earlier, counts.unanswered)


def serve(tmp_path, settings, machine="", transition=""):
    """Serves a machine with words of its own at the machine and at a transition."""
    file = tmp_path / "fsm.yaml"
    file.write_text(MACHINE.format(machine=machine, transition=transition))
    return Fantasm(Flask("served"), Settings(definitions=str(file), **settings))


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ({"machine": "\n  target: shop"}, [3]),
        ({"transition": ", target: shop"}, [8]),
        ({"machine": "\n  target: shop", "transition": ", target: v1.shop"}, [3, 9]),
    ],
)
@pytest.mark.parametrize(
    "settings", [{"target": URL}, {"runtime": CLOUD_RUN}, {"target": URL, "runtime": APP_ENGINE}]
)
def test_a_service_of_app_engine_is_refused_where_tasks_go_to_a_url(tmp_path, words, lines, settings):
    """At the start, each place once, saying what to do; on Cloud Run before the URL is known."""
    with pytest.raises(DefinitionError, match="FANTASM_TARGET=app-engine") as refused:
        serve(tmp_path, settings, **words)
    assert lines == [each.line for each in refused.value.problems]
    assert all("'shop'" in str(each) or "'v1.shop'" in str(each) for each in refused.value.problems)


@pytest.mark.parametrize(
    "settings", [{}, {"runtime": APP_ENGINE}, {"target": "app-engine", "runtime": CLOUD_RUN}]
)
def test_app_engine_takes_services(tmp_path, settings):
    """Where it delivers, it delivers to them."""
    served = serve(tmp_path, settings, machine="\n  target: shop")
    assert "shop" == served.definitions.machine("M").target


@pytest.mark.parametrize(("target", "expected"), [("", "v2.cart"), (URL, None)])
def test_pinned_instances_need_a_version_only_on_app_engine(tmp_path, target, expected):
    """With a URL as target there is none to choose."""
    settings = {"target": target, "app_engine_service": "cart", "app_engine_version": "v2", "mode": "local"}
    assert expected == serve(tmp_path, settings).services.pin
