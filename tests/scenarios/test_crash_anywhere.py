"""A campaign fails before and after every single RPC in turn: what it leaves behind is always the same."""

from __future__ import annotations

import grpc
import pytest
from campaign import SUBSCRIBERS, FailAt, left_behind, run_campaign
from lives import lasts

FAULTS = [  # ABORTED after an RPC is no fault that there is: it says that nothing was written
    pytest.param("before", None, id="crash-before"),
    pytest.param("after", None, id="crash-after"),
    pytest.param("before", grpc.StatusCode.UNAVAILABLE, id="unavailable-before"),
    pytest.param("after", grpc.StatusCode.UNAVAILABLE, id="unavailable-after"),
    pytest.param("before", grpc.StatusCode.ABORTED, id="aborted-before"),
]


@pytest.fixture(scope="module")
def undisturbed() -> tuple[dict[str, object], dict[bool, list[object]]]:
    """What a campaign without faults leaves behind, and the request of each RPC, delivered once and twice."""
    requests = []
    for twice in (True, False):
        fault = FailAt(-1, "before", None)
        harness, instance = run_campaign(fault, twice=twice)
        with harness:
            left = left_behind(harness, instance)
        requests.append(fault.requests)
    return left, {True: requests[0], False: requests[1]}


def test_an_undisturbed_campaign_sends_and_counts_each_email_once(undisturbed):
    """The state that all others are compared with is the right one."""
    left, rpcs = undisturbed
    assert [(f"{i}@example.org", True) for i in range(SUBSCRIBERS)] == left["outbox"]
    assert [SUBSCRIBERS] == left["counter"]
    assert ([], [], []) == (left["in flight"], left["entries"], left["windows"])
    assert "completed" == left["instance"][1]
    assert SUBSCRIBERS + 2 == len(left["records"])
    assert len(rpcs[True]) > len(rpcs[False]) > 8 * SUBSCRIBERS
    assert [SUBSCRIBERS + 3, 2 * SUBSCRIBERS + 5] == [len(lasts(rpcs[twice])) for twice in (False, True)]


@pytest.mark.fantasm(190, 191, 192, 193)
@pytest.mark.parametrize(("when", "error"), FAULTS)
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_a_fault_at_any_rpc_changes_nothing(undisturbed, when, error, twice):
    """One fault at each RPC in turn, with each task delivered once or twice."""
    expected, rpcs = undisturbed
    for n in lasts(rpcs[twice]) if (when, error) == ("after", None) else range(len(rpcs[twice])):
        harness, instance = run_campaign(FailAt(n, when, error), twice=twice)
        with harness:
            assert expected == left_behind(harness, instance), f"{error} {when} RPC {n}"


@pytest.mark.fantasm(190, 191, 192)
@pytest.mark.parametrize("shuffle", range(20))
def test_order_and_repetition_change_nothing(undisturbed, shuffle):
    """Tasks that are due come in any order, each of them twice."""
    harness, instance = run_campaign(FailAt(-1, "before", None), twice=True, shuffle=shuffle)
    with harness:
        assert undisturbed[0] == left_behind(harness, instance)
