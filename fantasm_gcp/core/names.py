"""Names of instances, branches, steps, groups and entries: deterministic, readable, within Google's limits.

A step's name is its task's name, so creating the task of a step twice creates one. Names begin with a short
hash of all that follows, because sequential names slow Cloud Tasks and Datastore down.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import NewType

InstanceId = NewType("InstanceId", str)
StepName = NewType("StepName", str)

MAIN = "main"
"""The branch that an instance starts on."""

BRANCH_LIMIT = 60
"""Longest branch that stands in a name as it is; a longer one is hashed (see :func:`nest`)."""

TASK_NAME_LIMIT = 500
"""Cloud Tasks' limit for the last part of a task's name, of characters ``[A-Za-z0-9_-]``."""


def digest(*parts: str, length: int) -> str:
    """Hexadecimal hash of a sequence of texts; sequences that merely join to the same text differ."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:length]


def instance_id(machine: str, started: float, nonce: str) -> InstanceId:
    """``<machine>-<UTC time>-<nonce>``, as Fantasm has it; ``started`` is in seconds of the epoch."""
    return InstanceId(f"{machine}-{datetime.fromtimestamp(started, UTC):%Y%m%d%H%M%S}-{nonce}")


def started_of(instance: InstanceId) -> float:
    """When an instance was started, in seconds of the epoch, as far as its id tells: 0 for a keyed one."""
    try:
        moment = datetime.strptime(f"{instance.split('-')[-2]}+0000", "%Y%m%d%H%M%S%z")
    except (ValueError, IndexError):
        return 0.0
    return moment.timestamp()


def keyed_instance_id(machine: str, key: str) -> InstanceId:
    """The one instance of a machine that a caller's idempotency key stands for."""
    return InstanceId(f"{machine}-key-{digest(machine, key, length=24)}")


def is_keyed(instance: str) -> bool:
    """Whether an instance's id comes from an idempotency key."""
    return re.search(r"-key-[0-9a-f]{24}$", instance) is not None


def hashed(name: str) -> str:
    """A name with a short hash of it in front, for keys that would be sequential otherwise."""
    return f"{digest(name, length=8)}-{name}"


def step_name(instance: InstanceId, branch: str, state: str, event: str, target: str, n: int) -> StepName:
    """``<hash>-<instance>--<branch>--<state>--<event>--<target>--<n>``."""
    parts = (instance, branch, state, event, target, str(n))
    return StepName(f"{digest(*parts, length=8)}-{'--'.join(parts)}")


def task_name(step: StepName, epoch: int) -> str:
    """The Cloud Tasks name of a step: a later epoch needs a new one, because used names are tombstoned."""
    return f"{step}--e{epoch}" if epoch else step


def nest(branch: str, label: str) -> str:
    """The name of a branch that begins on another; its label alone where the whole would be too long."""
    nested = f"{branch}_{label}"
    return nested if len(nested) <= BRANCH_LIMIT else f"{digest(branch, label, length=24)}_{label[:30]}"


def group_name(instance: InstanceId, state: str, event: str, target: str, value: str = "") -> str:
    """The fan-in group of what arrives at ``target`` by one transition of one instance."""
    return f"{digest(instance, state, event, target, value, length=16)}-{instance}--{target}"


def entry_name(window: StepName, source: StepName, index: int) -> str:
    """The key of one context in a window."""
    return f"{digest(window, source, str(index), length=24)}-{index}"


def join_window(instance: InstanceId, state: str) -> StepName:
    """What stands for a join of an instance where a fan-in has its window."""
    return StepName(f"{digest(instance, state, length=16)}-{instance}--{state}")


def join_entry_name(
    instance: InstanceId, state: str, value: str, round_: int, source: StepName, index: int
) -> str:
    """The key of one context at a join: those of a join, a group and a round lie side by side."""
    group = digest(value, length=12) if value else "0"
    of = digest(source, str(index), length=24)
    return f"{digest(instance, state, length=16)}-{group}-{round_:08d}-{of}-{index}"


def join_end(instance: InstanceId, state: str) -> str:
    """A name behind those of all contexts at a join."""
    return f"{digest(instance, state, length=16)}-~"


def group_and_round(entry: str) -> tuple[str, int]:
    """Of the name of a context at a join, what tells its group from others, and its round."""
    _, group, round_, *_ = entry.split("-")
    return group, int(round_)


def released_branch(round_: int, state: str) -> str:
    """The branch that begins with the release of a join: each of a round has its own."""
    return f"join{round_}-{digest(state, length=8)}"


def is_release(step: str, instance: InstanceId) -> bool:
    """Whether a step's name is that of a released join."""
    return re.match(rf"[0-9a-f]{{8}}-{re.escape(instance)}--join\d+-[0-9a-f]{{8}}--.*--0$", step) is not None
