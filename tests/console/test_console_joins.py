"""What waits at joins, and what was collected for a step that failed: on pages and in the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_stage import Element, read_page

from fantasm_gcp.testing import Harness

CANNOT = "This step has the contexts that were collected for it: they cannot be edited."


@pytest.fixture
def harness() -> Iterator[Harness]:
    with Harness(Path(__file__).with_name("regions.yaml")) as made:
        yield made


def start(harness: Harness, items: str) -> str:
    return str(harness.start(f"Regions/?items={items}").json["instance"])


def page(harness: Harness, path: str) -> Element:
    answer = harness.client.get(f"/fantasm/{path}")
    assert 200 == answer.status_code
    return read_page(answer.text)


def ends(shown: Element) -> list[str]:
    """What the steps that are over returned, and what became of their branches."""
    return sorted(row[3] for row in shown.one("section", id="over").rows())


def deliver_due(harness: Harness) -> None:
    while harness.tasks.due():
        harness.deliver(harness.next_attempt())


def failed_step(harness: Harness, instance: str) -> dict[str, Any]:
    (step,) = harness.get(f"instances/{instance}")["failed"]["items"]
    return dict(harness.get(f"instances/{instance}/steps/{step['step']}"))


def test_what_waits_at_a_join_is_shown(harness: Harness) -> None:
    """How many contexts, and which steps sent them there; released, nothing waits any more."""
    instance = start(harness, "fine+fine+late")
    deliver_due(harness)
    assert {"ByRegion": 2} == harness.get(f"instances/{instance}")["at_joins"]
    shown = page(harness, f"instances/{instance}")
    assert "2 contexts wait at ByRegion" in shown.one("dl", id="facts").text
    assert 2 == ends(shown).count("done waits at ByRegion")
    harness.run()
    assert {} == harness.get(f"instances/{instance}")["at_joins"]
    shown = page(harness, f"instances/{instance}")
    assert "ByRegion" not in shown.one("dl", id="facts").text
    assert (2, 2) == (ends(shown).count("done went to ByRegion"), ends(shown).count("no event end of branch"))
    assert "None: the instance has ended." in shown.one("section", id="in_flight").text


def test_what_waits_for_a_failed_branch_has_not_ended(harness: Harness) -> None:
    """The instance is failed, and a join waits: the page says what it goes on by."""
    instance = start(harness, "fine+value")
    harness.run()
    shown = page(harness, f"instances/{instance}")
    assert "1 context waits at ByRegion" in shown.one("dl", id="facts").text
    assert "None: it goes on when failed steps run again." in shown.one("section", id="in_flight").text


@pytest.mark.parametrize(("items", "count"), [("bad+fine", 2), ("window+window+window", 3)])
def test_a_failed_step_shows_what_was_collected_for_it(harness: Harness, items: str, count: int) -> None:
    """Of a join and of a fan-in; there is nothing to be edited, and the engine says so, too."""
    instance = start(harness, items)
    harness.run()
    step = failed_step(harness, instance)
    collected = step["collected"]
    assert (count, False) == (collected["count"], collected["more"])
    assert set(range(count)) == {each["number"] for each in collected["contexts"]}
    path = f"instances/{instance}/steps/{step['step']}"
    shown = page(harness, path)
    section = next(each for each in shown.all("section") if "collected-title" in str(each.attributes))
    assert (count, True) == (len(section.all("pre")), CANNOT in section.text)
    assert ([], []) == (shown.all("textarea"), shown.all("section", aria_labelledby="edit-title"))
    assert "What was collected" in page(harness, f"instances/{instance}").one("div", id="failed").text
    refused = harness.client.post(f"/fantasm/api/{path}/redrive", json={"context": {}})
    assert (409, "cannot be edited") == (refused.status_code, refused.json["error"][-16:])
    skipped = harness.client.post(f"/fantasm/api/{path}/redrive", json={"skip": "all"})
    assert "all" == skipped.json["skipped"]
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]
    assert None is harness.get(path)["collected"]


def test_a_step_with_a_context_has_collected_nothing(harness: Harness) -> None:
    """Null, and its context can be edited."""
    instance = start(harness, "value")
    harness.run()
    step = failed_step(harness, instance)
    assert None is step["collected"]
    assert 1 == len(page(harness, f"instances/{instance}/steps/{step['step']}").all("textarea"))


def test_more_is_collected_than_a_page_shows(harness: Harness) -> None:
    """The first twenty, and how many there are."""
    instance = start(harness, "+".join(["bad"] * 23))
    harness.run()
    step = failed_step(harness, instance)
    assert (23, 20) == (step["collected"]["count"], len(step["collected"]["contexts"]))
    shown = page(harness, f"instances/{instance}/steps/{step['step']}")
    assert "23 contexts; 20 of them are here" in shown.text


def test_a_hold_is_told_where_it_concerns_an_instance(harness: Harness) -> None:
    """That of its machine, and that of a state in which it is parked, with their notes; not of others."""
    harness.client.post("/fantasm/api/holds", json={"machine": "Regions", "state": "Item", "note": "why <b>"})
    harness.client.post("/fantasm/api/holds", json={"machine": "Regions", "state": "Report", "note": "later"})
    instance = start(harness, "fine")
    harness.run()
    assert ["Item"] == [each["state"] for each in harness.get(f"instances/{instance}")["held"]]
    facts = page(harness, f"instances/{instance}").one("dl", id="facts")
    assert ["Item"] == [each.text for each in facts.all("a", href="/fantasm/machines/Regions")]
    assert (True, True, False) == tuple(
        words in facts.text for words in ("Item held since", "why <b>", "later")
    )
    harness.client.post("/fantasm/api/holds", json={"machine": "Regions"})
    held = harness.get(f"instances/{instance}")["held"]
    assert {"", "Item"} == {each["state"] for each in held}
    harness.client.post(f"/fantasm/api/instances/{instance}/cancel", json={})
    harness.run()
    assert [] == harness.get(f"instances/{instance}")["held"]
