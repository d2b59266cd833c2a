"""Names: deterministic, distinct, readable, within the limits of Cloud Tasks and Datastore."""

from __future__ import annotations

import re

from fantasm_gcp.core.names import (
    BRANCH_LIMIT,
    TASK_NAME_LIMIT,
    InstanceId,
    group_name,
    instance_id,
    keyed_instance_id,
    nest,
    step_name,
    task_name,
)

LONG = "x" * 50
ALLOWED = re.compile(r"[A-Za-z0-9_-]+")


def test_an_instance_id_is_the_machine_the_time_and_a_nonce():
    """As Fantasm has it: the part before the last is the start, in UTC."""
    assert "M-20270115080000-abc" == instance_id("M", 1_800_000_000.9, "abc")


def test_an_idempotency_key_stands_for_one_instance_of_one_machine():
    """The same key and machine: the same id. Any other: another."""
    assert keyed_instance_id("M", "k") == keyed_instance_id("M", "k")
    others = {keyed_instance_id(machine, key) for machine, key in (("M", "k"), ("M", "l"), ("N", "k"))}
    assert 3 == len(others)


def test_the_longest_names_fit_a_task():
    """Fifty characters for each of machine, state, event and target, the longest branch, late epochs."""
    branch = "main"
    for i in range(30):
        branch = nest(branch, f"c{i}-100000")
        assert BRANCH_LIMIT >= len(branch)
    name = task_name(step_name(instance_id(LONG, 0, "f" * 8), branch, LONG, LONG, LONG, 10**9), 10**6)
    assert TASK_NAME_LIMIT >= len(name)
    assert ALLOWED.fullmatch(name)


def test_names_that_join_to_the_same_text_differ():
    """Hyphens in names cannot make two steps one."""
    a = step_name(InstanceId("I"), "main", "a--b", "c", "d", 1)
    b = step_name(InstanceId("I"), "main", "a", "b--c", "d", 1)
    assert a != b


def test_a_steps_name_shows_what_it_is_behind_a_hash():
    """Sequential names would slow the queue down; the hash in front spreads them."""
    names = [step_name(InstanceId("I"), "main", "A", "go", "B", n) for n in range(100)]
    assert all(name.endswith(f"-I--main--A--go--B--{n}") for n, name in enumerate(names))
    assert 90 < len({name[:8] for name in names})


def test_nested_branches_are_distinct_also_where_they_are_hashed():
    """Whatever path led there."""
    level = ["main"]
    for depth in range(6):
        level = [nest(branch, f"c{depth}-{k}") for branch in level[:40] for k in range(3)]
        assert len(level) == len(set(level))


def test_groups_differ_by_where_they_come_from():
    """Two states that send to one fan-in have windows of their own; so have two instances."""
    groups = {
        group_name(InstanceId(i), s, e, "T", v) for i in "IJ" for s in "AB" for e in "xy" for v in ("", "1")
    }
    assert 16 == len(groups)
