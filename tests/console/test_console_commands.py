"""The console's buttons, through the real engine: each form is found on its page, posted, and followed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from console_stage import Element, read_page
from operated import DEFINITIONS, Seen
from werkzeug.test import TestResponse

from fantasm_gcp.console.contexts import EDITED_LIMIT
from fantasm_gcp.testing import Harness

ROOT = "/fantasm"


@pytest.fixture
def harness() -> Iterator[Harness]:
    Seen.by_state.clear()
    with Harness(DEFINITIONS) as made:
        yield made


def start(harness: Harness, path: str, **options: Any) -> str:
    return str(harness.start(path, **options).json["instance"])


def page(harness: Harness, path: str, status: int = 200) -> Element:
    answer = harness.client.get(f"{ROOT}/{path}")
    assert status == answer.status_code
    return read_page(answer.text)


def forms(element: Element, action: str) -> list[Element]:
    """The forms whose address has this end, each checked to be sent by post."""
    found = [each for each in element.all("form") if each.attributes["action"].endswith(action)]
    assert {"post"} >= {each.attributes["method"] for each in found}
    return found


def send(harness: Harness, form: Element, **fields: str) -> TestResponse:
    """Sends a form with its hidden fields, as a browser does."""
    hidden = {each.attributes["name"]: each.attributes["value"] for each in form.all("input", type="hidden")}
    return harness.client.post(form.attributes["action"], data=hidden | fields)


def press(harness: Harness, element: Element, action: str, **fields: str) -> Element:
    """Sends the only form with this action, and answers the page that it leads to."""
    (form,) = forms(element, action)
    answer = send(harness, form, **fields)
    assert 303 == answer.status_code, answer.text
    there = harness.client.get(answer.location)
    assert 200 == there.status_code
    return read_page(there.text)


def status(shown: Element) -> str:
    return shown.one("dl", id="facts").all("dd")[0].text


def buttons(shown: Element) -> list[str]:
    """The instance's commands, in order."""
    return [each.text for each in shown.one("div", id="commands").all("button")]


def test_pause_and_resume_are_buttons_of_what_they_fit(harness: Harness) -> None:
    """A running instance can be paused, a paused one resumed; one that is over has no buttons."""
    instance = start(harness, "Walk/")
    shown = page(harness, f"instances/{instance}")
    assert ["Pause the instance", "Cancel the instance"] == buttons(shown)
    shown = press(harness, shown, "/pause")
    harness.run()
    shown = page(harness, f"instances/{instance}")
    assert ("paused", ["Resume the instance", "Cancel the instance"]) == (status(shown), buttons(shown))
    assert "1 parked" in shown.one("dl", id="facts").text
    assert "parked" == shown.one("section", id="in_flight").rows()[0][1]
    assert "running" == status(press(harness, shown, "/resume"))
    harness.run()
    shown = page(harness, f"instances/{instance}")
    assert ("completed", []) == (status(shown), buttons(shown))


def test_cancelling_asks_first_and_leaves_nothing(harness: Harness) -> None:
    """The button lies folded under words that tell what it does."""
    instance = start(harness, "Work/?items=far value")
    harness.deliver(harness.next_attempt())
    shown = page(harness, f"instances/{instance}")
    details = shown.one("details", class_="sure final")
    assert "open" not in details.attributes
    assert "Cancelling is for good" in details.text
    assert forms(details, "/cancel") == forms(shown, "/cancel")
    assert "cancelled" == status(press(harness, shown, "/cancel"))
    harness.run()
    assert 0 == harness.tasks.depth()
    shown = page(harness, f"instances/{instance}")
    assert ("cancelled", []) == (status(shown), buttons(shown))
    assert "cancelled by an operator" in shown.text


def test_a_cancellation_says_why(harness: Harness) -> None:
    """Its form has a field for a note."""
    instance = start(harness, "Walk/")
    shown = page(harness, f"instances/{instance}")
    (form,) = forms(shown, "/cancel")
    assert ["note"] == [
        each.attributes["name"] for each in form.all("input") if "type" not in each.attributes
    ]
    assert "typo <b>" in press(harness, shown, "/cancel", note=" typo <b> ").one("dl", id="facts").text


@pytest.mark.parametrize("address", ["done=nope", "done=", "event=x", "done=skipped&event=%3Cb%3E+free+text"])
def test_an_address_of_somebody_s_own_says_nothing_of_its_own(harness: Harness, address: str) -> None:
    """Only the words of commands are said, and of an event only what can be a name."""
    instance = start(harness, "Walk/")
    shown = page(harness, f"instances/{instance}?{address}")
    said = " ".join(each.text for each in shown.all("p", role="status"))
    assert ("free" not in said, "skipped" in address) == (True, "the event that was chosen" in said)


def test_failed_steps_are_run_again_one_or_all(harness: Harness) -> None:
    """From the instance's page; each failed step has a button of its own, and a page."""
    instance = start(harness, "Work/?items=value key")
    harness.run()
    shown = page(harness, f"instances/{instance}")
    assert ["Redrive all failed steps of the instance", "Cancel the instance"] == buttons(shown)
    assert 3 == len(forms(shown, "/redrive"))
    action = forms(shown.all("article")[0], "/redrive")[0].attributes["action"]
    assert "running" == status(press(harness, shown, action))
    harness.run()
    shown = page(harness, f"instances/{instance}")
    assert "failed" == status(shown)
    assert 1 == shown.text.count("redriven 1 time")
    press(harness, shown, f"{instance}/redrive")
    harness.run()
    shown = page(harness, f"instances/{instance}")
    assert ["redriven 1 time ", "redriven 2 times"] == sorted(
        each.text.partition("redriven")[1] + each.text.partition("redriven")[2][:8]
        for each in shown.all("article")
    )


def step_page(harness: Harness, instance: str) -> Element:
    """The page of the only failed step, by the link to it."""
    (link,) = [
        each
        for each in page(harness, f"instances/{instance}").one("article").all("a")
        if each.text.startswith("Edit or skip")
    ]
    return page(harness, link.attributes["href"].removeprefix(f"{ROOT}/"))


def test_a_failed_step_has_a_page_with_its_error_and_context(harness: Harness) -> None:
    """The context is text to be edited, and comes back as the same context."""
    instance = start(harness, "Work/", json={"items": "value", "when": "</textarea><b>ü"}, method="POST")
    harness.run()
    shown = step_page(harness, instance)
    assert "ValueError: <b>no</b> luck & no value" == shown.one("p", class_="error").text
    assert "in item" in shown.one("pre", class_="code").text
    area = shown.one("textarea", name="context")
    assert {"when": "</textarea><b>ü", "item": "value"} == json.loads(str(area.content[0]))
    assert ["done, to Gather", "wait, to Far", "no event: its branch ends"] == [
        each.text for each in shown.one("select", name="skip").all("option")
    ]


def test_a_failed_step_is_run_again_with_an_edited_context(harness: Harness) -> None:
    """What the text area has is the context then."""
    instance = start(harness, "Work/?items=value")
    harness.run()
    (form,) = step_page(harness, instance).all("form", class_="edit")
    answer = send(harness, form, context='{\r\n  "item": "mended"\r\n}\r\n')
    assert (303, f"{ROOT}/instances/{instance}") == (answer.status_code, answer.location)
    harness.run()
    assert ([{"items": ["mended"]}], "completed") == (
        Seen.take("Gather"),
        status(page(harness, f"instances/{instance}")),
    )


@pytest.mark.parametrize(("skip", "reached"), [("wait", ["Far"]), ("", [])])
def test_a_failed_step_is_skipped(harness: Harness, skip: str, reached: list[str]) -> None:
    """By an event of its state, or by the end of its branch."""
    instance = start(harness, "Work/?items=value")
    harness.run()
    (form,) = [each for each in step_page(harness, instance).all("form") if each.all("select")]
    answer = send(harness, form, skip=skip)
    assert 303 == answer.status_code
    notice = read_page(harness.client.get(answer.location).text).one("p", role="status").text
    assert f"The step is skipped: its branch {f'goes on by {skip}' if skip else 'ends there'}." == notice
    again = send(harness, form, skip=skip)
    assert "nothing was changed" in harness.client.get(again.location).text
    harness.run()
    shown = page(harness, f"instances/{instance}")
    assert ("completed", reached) == (status(shown), list(Seen.by_state))
    assert "skipped" in [row[2].split()[0] for row in shown.one("section", id="over").rows()]


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"context": ""}, 400, "the context is not JSON"),
        ({"context": "[1]"}, 400, "the context is not a JSON object"),
        ({"context": "{"}, 400, "the context is not JSON"),
        ({"context": "x" * (9 * EDITED_LIMIT)}, 413, ""),
        ({"skip": "<b>nope"}, 409, "has no event '<b>nope'"),
    ],
)
def test_what_cannot_be_done_is_said_on_a_page(
    harness: Harness, fields: dict[str, str], code: int, words: str
) -> None:
    """With the reason as text and a way back; nothing was changed."""
    instance = start(harness, "Work/?items=value")
    harness.run()
    before = harness.get(f"instances/{instance}")
    (form,) = step_page(harness, instance).all("form", class_="edit")
    answer = send(harness, form, **fields)
    shown = read_page(answer.text)
    assert (code, "Nothing was changed") == (answer.status_code, shown.one("h1").text)
    assert words in shown.one("main").text
    assert f"{ROOT}/instances/{instance}" in [each.attributes["href"] for each in shown.all("a")]
    assert before == harness.get(f"instances/{instance}")


def test_a_command_that_comes_too_late_is_said_on_a_page(harness: Harness) -> None:
    """The page was open while the instance ended."""
    instance = start(harness, "Walk/")
    (form,) = forms(page(harness, f"instances/{instance}"), "/pause")
    harness.run()
    answer = send(harness, form)
    assert (409, True) == (answer.status_code, "it is completed" in answer.text)


@pytest.mark.parametrize(
    ("path", "fields", "code", "words"),
    [
        ("instances/nope/cancel", {}, 404, "there is no instance"),
        ("instances/nope/steps/nope/redrive", {}, 404, "has no step"),
        ("failures/redrive", {}, 404, "There is no machine"),
        ("failures/redrive", {"machine": "<b>"}, 404, "There is no machine '<b>'"),
        ("holds", {"machine": "Walk", "state": "<b>"}, 404, "has no state '<b>'"),
        ("holds/release", {"machine": "Walk"}, 404, "'Walk' is not held"),
    ],
)
def test_a_command_about_nothing_is_said_on_a_page(
    harness: Harness, path: str, fields: dict[str, str], code: int, words: str
) -> None:
    """404, as a page, escaped."""
    answer = harness.client.post(f"{ROOT}/{path}", data=fields)
    assert (code, True) == (answer.status_code, words in read_page(answer.text).one("main").text)
    assert [] == list(harness.datastore.query(kind="FantasmHold").fetch())


def test_a_group_of_failures_is_run_again(harness: Harness) -> None:
    """From the page of failures, or that of the group; the others stay as they are."""
    instances = [start(harness, "Work/?items=value key") for _ in range(2)]
    harness.run()
    shown = page(harness, "failures")
    groups = shown.all("article")
    assert ["2 steps", "2 steps"] == [each.one("header").one("a").text.partition(" of")[0] for each in groups]
    for group in groups:
        assert "These 2 steps" in group.one("details", class_="sure").text
    value = next(each for each in groups if "ValueError" in each.text)
    one = page(harness, value.one("header").one("a").attributes["href"].removeprefix(f"{ROOT}/"))
    assert set(instances) == {each.text for each in one.all("a", class_="id")}
    for asked in (value, one):
        shown = press(harness, asked, "/failures/redrive")
        assert shown.one("h1").text.startswith("FantasmOperation-")
        harness.run()
    steps = harness.get("failures/steps")["steps"]
    (form,) = forms(one, "/failures/redrive")
    answer = send(harness, form, machine="Work", state="Far", fingerprint="")
    assert "No failed step matches now" in harness.client.get(answer.location).text
    assert {("value", 2), ("key", 0)} == {(each["context"]["item"], each["epoch"]) for each in steps}


def test_failures_are_filtered_by_machine(harness: Harness) -> None:
    """A machine that is gone is offered while it is chosen; no failures are no empty table."""
    start(harness, "Teller/?item=key")
    harness.run()
    assert 1 == len(page(harness, "failures?machine=Teller").all("article"))
    shown = page(harness, "failures?machine=Gone")
    assert "No failed steps of Gone." in shown.text
    assert ["Gone"] == [each.text for each in shown.all("option", selected="")]
    assert [] == page(harness, "failures?fingerprint=00").all("article")


def test_a_machine_is_held_and_released_on_its_page(harness: Harness) -> None:
    """One state or all; who looks sees since when, why, and how many steps are parked."""
    shown = press(harness, page(harness, "machines/Walk"), "/holds", state="Second", note="why <b>")
    instance = start(harness, "Walk/")
    harness.run()
    shown = page(harness, "machines/Walk")
    held = shown.one("div", id="held").text
    assert ("Second held since", True, True) == (
        held[:17],
        "1 step parked" in held,
        "why <b>" in held,
    )
    assert [["First initial"], ["Second final held"]] == [
        row[:1] for row in shown.one("tbody", id="states").rows()
    ]
    assert "held" in page(harness, "").one("tr", id="machine-Walk").text
    shown = press(harness, shown, "/holds", state="", note="")
    assert 2 == len(forms(shown, "/holds/release"))
    for _ in range(2):
        release = forms(shown, "/holds/release")[0]
        assert 303 == send(harness, release).status_code
        shown = page(harness, "machines/Walk")
    harness.run()
    assert ("completed", []) == (
        status(page(harness, f"instances/{instance}")),
        forms(shown, "/holds/release"),
    )
    assert "held" not in page(harness, "").one("tr", id="machine-Walk").text


def test_a_machine_without_records_cannot_be_held_on_its_page(harness: Harness) -> None:
    """Its steps have no rows to be parked."""
    assert [] == forms(page(harness, "machines/Light"), "/holds")


def test_an_instance_leads_to_those_that_stem_from_it(harness: Harness) -> None:
    """Those that it spawned and those that were told of its end, and these lead back."""
    teller = start(harness, "Teller/")
    harness.run()
    shown = page(harness, f"instances/{teller}")
    (child,) = [row[0] for row in shown.one("div", id="children").rows()]
    told = shown.one("dl", id="facts").all("a", href=f"{ROOT}/instances/{child}")
    assert ["Walk"] == [each.text for each in told]
    back = page(harness, f"instances/{child}").one("dl", id="facts")
    assert [teller] == [each.text for each in back.all("a", href=f"{ROOT}/instances/{teller}")]


def test_an_instance_of_an_older_definition_says_so(harness: Harness, tmp_path: Any) -> None:
    """Its steps run by the new one."""
    instance = start(harness, "Walk/")
    assert "has changed since" not in page(harness, f"instances/{instance}").text
    (tmp_path / "fsm.yaml").write_text(
        DEFINITIONS.read_text().replace("to: Second}", "to: Second, countdown: 1}")
    )
    harness.deploy(tmp_path / "fsm.yaml")
    assert "Walk has changed since" in page(harness, f"instances/{instance}").text


def test_a_context_that_is_too_large_to_edit_has_a_command(harness: Harness) -> None:
    """The page stays small, and nothing is cut."""
    instance = start(harness, "Work/", data={"items": "value", "large": "x" * EDITED_LIMIT}, method="POST")
    harness.run()
    shown = step_page(harness, instance)
    assert ([], True) == (shown.all("textarea"), "--context FILE" in shown.text)
    assert 3 == len(shown.all("button"))


def test_a_step_that_has_not_failed_has_no_buttons(harness: Harness) -> None:
    """Somebody was faster: its page tells, and leads on."""
    instance = start(harness, "Work/?items=value")
    harness.run()
    step = harness.get(f"instances/{instance}")["failed"]["items"][0]["step"]
    path = f"instances/{instance}/steps/{step}"
    (form,) = page(harness, path).all("form", class_="edit")
    assert 303 == send(harness, form).status_code
    shown = page(harness, path)
    assert ([], True) == (shown.all("form"), "has not failed (any more)" in shown.text)
    harness.run()
    send(harness, form, skip="")
    harness.run()
    page(harness, path, 404)
    page(harness, f"instances/other/steps/{step}", 404)
