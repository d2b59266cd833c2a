"""Continuations: how many pages there are, what is on them, in which order things happen."""

from __future__ import annotations

from collections import Counter

import pytest
from ledger import Ledger
from runs import Created, deliver_all, ended, finish, put_items, queue_of, start, states

MACHINES = "paging.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


def seen_by(place):
    return [seen for each, seen in zip(Ledger.runs, Ledger.seen, strict=True) if each == place]


@pytest.mark.fantasm(159, 161, 162, 164)
@METHODS
def test_a_query_of_ten_in_pages_of_two_is_six_calls(harness, method):
    """The last page is empty; the action gets each page as a list, and its first."""
    put_items(harness, 10)
    instance = finish(harness, "Plain/", method=method)
    assert {"continuation": 6, "action": 5, "empty page": 1, "final action": 5} == Ledger.counts()
    pages = [[context["numbers"], first] for context, first in seen_by("action")]
    assert [[[n, n + 1], n] for n in range(0, 10, 2)] == sorted(pages)
    assert {"pages": 6, "final": 5} == states(harness, instance)


@pytest.mark.fantasm(170)
@pytest.mark.parametrize(("size", "pages"), [(1, 10), (3, 4), (10, 1), (11, 1)])
def test_each_item_is_on_one_page_whatever_its_size(harness, size, pages):
    """Ten items; what goes on is a branch for each page that is not empty."""
    put_items(harness, 10)
    finish(harness, f"Plain/?size={size}")
    ends = seen_by("final action")
    assert (pages, list(range(10))) == (len(ends), sorted(n for end in ends for n in end["numbers"]))


@pytest.mark.fantasm(171)
@pytest.mark.parametrize(("size", "ends"), [(1, 11), (3, 4), (10, 2), (11, 1)])
def test_a_query_has_an_empty_page_where_its_length_is_a_multiple(harness, size, ends):
    """It goes on as a branch of its own where the action returns an event for it."""
    put_items(harness, 10)
    finish(harness, f"Insistent/?size={size}")
    numbers = [end["numbers"] for end in seen_by("final action")]
    assert (ends, list(range(10))) == (len(numbers), sorted(n for each in numbers for n in each))
    assert (ends - -(-10 // size)) == numbers.count([])


@pytest.mark.fantasm(169, 170)
@pytest.mark.parametrize(("size", "pages"), [(1, 10), (3, 4), (5, 2), (10, 1), (11, 1)])
@METHODS
def test_a_list_has_no_empty_page(harness, size, pages, method):
    """Ten items in the pages that `getBatchSize` asks for; each item is on one of them."""
    finish(harness, f"Listed/?length=10&size={size}", method=method)
    numbers = sorted(end["numbers"] for end in seen_by("final action"))
    assert [list(range(n, min(n + size, 10))) for n in range(0, 10, size)] == numbers
    assert pages == len(numbers) == Ledger.counts()["continuation"]


@pytest.mark.fantasm(170)
@pytest.mark.parametrize(("size", "contexts"), [(1, 10), (3, 4), (10, 1), (11, 1)])
def test_the_pages_of_a_list_meet_again(harness, size, contexts):
    """A context for each page; every item is in one of them."""
    finish(harness, f"Listed/?length=10&size={size}&collect=1")
    (met,) = seen_by("collect")
    assert (contexts, list(range(10))) == (len(met), sorted(n for each in met for n in each))


@pytest.mark.fantasm(159, 161)
def test_a_query_without_results_is_one_empty_page(harness):
    """There is nothing after it."""
    finish(harness, "Plain/")
    assert ["continuation", "empty page"] == Ledger.runs


@pytest.mark.fantasm(155)
@METHODS
def test_the_next_page_is_queued_before_the_action_runs(harness, method):
    """And before this page's own next step."""
    order = []
    put_items(harness, 4)
    start(harness, "Plain/", method=method)

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            order.append(rpc.request.task.app_engine_http_request.relative_uri.split("/")[-2])
            order.append(list(Ledger.runs))
        return carry_out()

    harness.around = around
    harness.deliver(harness.next_attempt())
    assert ["pages", ["continuation"], "final", ["continuation", "action"]] == order


@pytest.mark.fantasm(156, 157)
@METHODS
def test_a_token_comes_back_as_text_and_not_in_the_context(harness, method):
    """None at first; the number that was returned is text on the next page. No token ends the chain."""
    finish(harness, "Queued/", method=method)
    assert [None, "1", "2"] == seen_by("continuation")
    assert [{"outer": n} for n in range(3)] == sorted(seen_by("action"), key=lambda each: each["outer"])
    assert [{"outer": n} for n in range(3)] == sorted(seen_by("final action"), key=lambda each: each["outer"])


@pytest.mark.fantasm(163)
@pytest.mark.parametrize("late", [0, 3, 7])
def test_the_next_page_begins_exactly_where_this_one_ends(harness, late):
    """Also when items before it come and go in between."""
    put_items(harness, 10)
    harness.datastore.delete(harness.datastore.key("Item", f"{late:04}"))
    start(harness, "Plain/")
    harness.deliver(harness.next_attempt())
    client = harness.datastore
    for gone in ("0000", "0001"):
        client.delete(client.key("Item", gone))
    harness.run()
    numbers = [n for context, _ in seen_by("action") for n in context["numbers"]]
    assert [n for n in range(10) if n != late] == sorted(numbers)


@pytest.mark.fantasm(165)
@METHODS
def test_a_page_goes_to_the_queue_of_the_transition_into_its_state(harness, method):
    """All pages to that one, and the next state's tasks to theirs."""
    created = Created(harness)
    finish(harness, "Queued/", method=method)
    queues = {state: Counter(map(queue_of, created.to(f"next/{state}"))) for state in ("pages", "final")}
    assert {"pages": {"queue2": 3}, "final": {"queue3": 3}} == queues
    assert ["queue1"] == [queue_of(each) for each in created.to("pseudo-init/initial")]


@pytest.mark.fantasm(168)
@METHODS
def test_a_continuation_inside_a_continuation_runs_every_combination(harness, method):
    """Three times three, each once, under a name of its own."""
    instance = start(harness, "Nested/", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    pairs = sorted((each["outer"], each["inner"]) for each in seen_by("final action"))
    assert [(outer, inner) for outer in range(3) for inner in range(3)] == pairs
    assert {"outer": 3, "inner": 9, "final": 9} == states(harness, instance)
    assert 21 == len(names) == len(set(names))
