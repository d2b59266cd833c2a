"""One delivery of a step's task, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Instance, Stored, Task, TaskStatus
from fantasm_gcp.errors import FantasmError


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a callback says of itself.

    ``unanswered`` counts the earlier deliveries of this epoch that ended without an answer: their workers
    were killed, or ran out of time. ``pending`` is until when, in seconds of the epoch, the transaction that
    starts the step may still commit; 0 for a step that was there before its task.
    """

    step: StepName
    instance: InstanceId
    epoch: int = 0
    unanswered: int = 0
    pending: float = 0.0


Verdict = Literal["done", "later", "replayed", "parked", "failed", "retry", "refused"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a delivery; ``retry`` asks Cloud Tasks for another one, ``later`` has made one.

    ``refused`` is one that no task made by the engine makes.
    """

    verdict: Verdict
    message: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A step as it was loaded: its row and its instance's, each None where it is not there."""

    task: Stored[Task] | None
    instance: Stored[Instance] | None


def is_overtaken(current: Task, loaded: Task) -> bool:
    """Whether an outcome of the loaded row must be dropped: the step was given up or redriven."""
    return current.status is TaskStatus.FAILED or current.epoch != loaded.epoch


class Moved(FantasmError):
    """The step's row changed before its action's outcome was worth keeping: load it again."""
