"""Result counts of continuations inside of each other, where branches fork in between."""

from __future__ import annotations

import pytest

from machines.counting import ITEMS_PAGE
from machines.stage import DELIVERIES, RUNS, committed, entities, finish

MACHINES = "counting.yaml"


def pages_of(items):
    return max(1, -(-items // ITEMS_PAGE))


@pytest.mark.fantasm(168, 172)
@pytest.mark.parametrize("orders", [[3], [3, 5], [1, 0, 4], [2, 2, 2, 7]])
@DELIVERIES
def test_the_items_of_all_orders_are_counted(harness, orders, deliver):
    """A page for each order, and pages of items inside of each: all of them are there, and so is the total."""
    written = ",".join(map(str, orders))
    finish(harness, f"Counting/?orders={written}&size=1&event=items", deliver)
    (counted,) = entities(harness, "Counted")
    pages = sum(map(pages_of, orders))
    assert (sum(orders), pages) == (counted["total"], counted["contexts"])
    assert {"Orders": len(orders), "Items": pages, "Count": 1} == RUNS == committed(harness)


@pytest.mark.fantasm(172)
@pytest.mark.parametrize(("orders", "size"), [([3, 5], 2), ([2, 2], 2), ([1, 4, 2], 3), ([3, 5, 7], 2)])
@DELIVERIES
def test_where_an_outer_page_forks_the_total_is_right_or_unknown(harness, orders, size, deliver):
    """Each fork runs an inner continuation of its own: one of their totals is not that of all."""
    written = ",".join(map(str, orders))
    finish(harness, f"Counting/?orders={written}&size={size}&event=items", deliver)
    (counted,) = entities(harness, "Counted")
    assert sum(map(pages_of, orders)) == counted["contexts"]
    assert counted["total"] in (sum(orders), None)


@pytest.mark.fantasm(172)
@pytest.mark.parametrize("orders", [[3], [3, 5], [2, 2], [1, 4, 2]])
def test_where_branches_fork_before_a_continuation_the_total_is_right_or_unknown(harness, orders):
    """Each branch runs a continuation of its own, and all of them meet."""
    finish(harness, f"Splitting/?orders={','.join(map(str, orders))}&event=items")
    (counted,) = entities(harness, "Counted")
    assert sum(map(pages_of, orders)) == counted["contexts"]
    assert counted["total"] in ((sum(orders), None) if len(orders) > 1 else (sum(orders),))


@pytest.mark.fantasm(172, 182)
@pytest.mark.parametrize("size", [1, 2])
def test_a_fan_in_for_each_order_never_tells_the_total_of_another(harness, size):
    """All pages of an order are in its batch, and no page of another's."""
    orders = [3, 0, 5, 4]
    finish(harness, f"Counting/?orders={','.join(map(str, orders))}&size={size}&event=by-order")
    counted = {each["order"]: each for each in entities(harness, "Counted")}
    assert list(range(len(orders))) == sorted(counted)
    for order, items in enumerate(orders):
        assert pages_of(items) == counted[order]["contexts"]
        assert counted[order]["total"] in (items, None)
    assert len(orders) == RUNS["Count"]
