"""The pages of an HTTP API: one that fails twice, links that are gone or busy, and a fan-in for each host."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter

import pytest
import responses

from fantasm_gcp.core.names import StepName
from fantasm_gcp.engine.redriving import redrive
from machines.stage import DELIVERIES, RUNS, all_over, committed, entities, finish, started, steps
from machines.url_fan_out import API

MACHINES = "url_fan_out.yaml"

GONE = "https://b.example.org/gone"
BUSY = "https://a.example.org/busy"
PAGES = [
    ["https://a.example.org/1", "https://b.example.org/2", "https://a.example.org/3"],
    ["https://c.example.org/4", GONE, "https://b.example.org/5?x=1&y=%20"],
    [],
    [BUSY, "https://a.example.org/6"],
]
"""The third page has no link: the next one has, so the chain goes on behind it."""
LINKS = [link for page in PAGES for link in page]
SIZES = {link: 100 + number for number, link in enumerate(LINKS)}


class Web:
    """Answers as the test says, and counts what is asked for."""

    def __init__(self, mock, clock):
        self.clock = clock
        self.asked = Counter()
        self.moments = []
        self.failing = {2: 2}
        mock.add_callback("GET", re.compile(".*"), self.answer)

    def answer(self, request):
        if request.url.startswith(API):
            return self.page(int(request.params["page"]))
        return self.link(request.url)

    def page(self, number):
        self.asked[f"page {number}"] += 1
        if self.asked[f"page {number}"] <= self.failing.get(number, 0):
            return 500, {}, "out of order"
        following = str(number + 1) if number < len(PAGES) else None
        return 200, {}, json.dumps({"links": PAGES[number - 1], "next": following})

    def link(self, link):
        self.asked[link] += 1
        if link == GONE:
            return 404, {}, ""
        if link == BUSY:
            self.moments.append(self.clock.now)
            if self.asked[link] == 1:
                return 503, {"Retry-After": "120"}, ""
        return 200, {}, "x" * SIZES[link]


@pytest.fixture
def web(harness):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Web(mock, harness.clock)


HOSTS = ("a.example.org", "b.example.org", "c.example.org")


def size_of(host):
    return sum(size for link, size in SIZES.items() if f"//{host}/" in link and link != GONE)


ASKED = {"page 1": 1, "page 2": 3, "page 3": 1, "page 4": 1, **dict.fromkeys(LINKS, 1), BUSY: 2}
COUNTED = {
    **{f"page {number}": 1 for number in range(1, 5)},
    "links": 3,
    "empty page": 1,
    "fetch": len(LINKS) - 1,
    "by host a.example.org": 2,
    "by host b.example.org": 1,
    "by host c.example.org": 1,
}
"""The runs whose steps were committed: not the failed ones, nor the one that was halted."""


@pytest.mark.fantasm(133, 152, 153, 154, 182)
@DELIVERIES
def test_every_link_is_fetched_once_and_added_up_by_host(harness, web, deliver):
    """One page is asked for three times, one link twice; everything else once, whatever is delivered twice."""
    finish(harness, "FetchLinks/", deliver)
    assert ASKED == web.asked
    assert COUNTED == committed(harness)
    assert {**COUNTED, "page 2": 3, "fetch": len(LINKS) + 1} == RUNS
    batches = dict(zip(HOSTS, ([3, 1], [2], [1]), strict=True))
    assert {host: (size_of(host), batches[host]) for host in HOSTS} == {
        each.key.name: (each["bytes"], each["batches"]) for each in entities(harness, "Host")
    }


def test_a_page_that_fails_is_tried_again_and_no_other(harness, web):
    """Its third attempt succeeds, which is the last that its limit allows; those behind it wait for it."""
    instance = finish(harness, "FetchLinks/")
    pages = [each for each in steps(harness, instance) if each["state"] == "Pages"]
    assert Counter({1: 3, 3: 1}) == Counter(each["attempts"] for each in pages)
    assert {1} == {each["attempts"] for each in steps(harness, instance) if each["state"] != "Pages"}


@pytest.mark.fantasm(222, 223)
@DELIVERIES
def test_a_link_that_is_gone_halts_its_branch_with_one_line(harness, web, caplog, deliver):
    """At the level that the action chose; the other links of the page go on."""
    caplog.set_level(logging.INFO, "fantasm_gcp.actions")
    instance = finish(harness, "FetchLinks/", deliver)
    halted = [each for each in steps(harness, instance) if each["status"] == "halted"]
    assert Counter(
        {("Fetch", f"{GONE} is gone"): 1, ("Pages", "an empty page: nothing to go on with"): 1}
    ) == (Counter((each["state"], each["note"]) for each in halted))
    said = [(each.levelno, each.getMessage()) for each in caplog.records if "is gone" in each.getMessage()]
    assert [(logging.WARNING, f"{GONE} is gone")] == said


@DELIVERIES
def test_a_busy_host_is_left_alone_for_as_long_as_it_asks(harness, web, deliver):
    """Two minutes later, and that is no failed attempt."""
    instance = finish(harness, "FetchLinks/", deliver)
    first, second = web.moments
    assert 120 == pytest.approx(second - first, abs=0.1)
    fetched = [each for each in steps(harness, instance) if each["state"] == "Fetch"]
    (busy,) = (each for each in fetched if each["context"]["url"] == BUSY)
    assert (1, "completed") == (busy["attempts"], busy["status"])


@DELIVERIES
def test_a_page_that_fails_once_too_often_is_listed_and_can_be_run_again(harness, web, deliver):
    """What comes before it is done, nothing behind it is; a redrive goes on where it stopped."""
    web.failing[2] = 3
    instance = started(harness, "FetchLinks/")
    deliver(harness)
    shown = harness.get(f"instances/{instance}")
    (failed,) = shown["failed"]["items"]
    assert ("failed", "Pages", 3) == (shown["status"], failed["state"], failed["attempts"])
    assert "500 Server Error" in failed["error"]
    assert {"page 1": 1, "page 2": 3} == {place: n for place, n in web.asked.items() if "page" in place}
    assert redrive(harness.fantasm.services, StepName(failed["step"]))
    deliver(harness)
    all_over(harness)
    assert {**ASKED, "page 2": 4} == web.asked
    later = {"by host a.example.org": 3, "by host b.example.org": 2}
    assert {**COUNTED, **later} == committed(harness)
    assert {host: size_of(host) for host in HOSTS} == {
        each.key.name: each["bytes"] for each in entities(harness, "Host")
    }
