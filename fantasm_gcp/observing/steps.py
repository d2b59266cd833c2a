"""What is told of each delivery of a step: its scope, its span, and one line when it is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fantasm_gcp.core.context import Failure
from fantasm_gcp.core.definition import PSEUDO_INIT
from fantasm_gcp.core.records import Entry, Outcome, Step, Task
from fantasm_gcp.core.step import Start
from fantasm_gcp.core.traces import Trace, begun_by, span_of
from fantasm_gcp.observing.lines import FIELDS
from fantasm_gcp.observing.scope import Scope, current, within
from fantasm_gcp.observing.spans import SYSTEM, Span, consuming, is_recording, producing

log = logging.getLogger("fantasm_gcp.steps")

MOST_TRACES = 20
"""Other traces that a line names as the sources of a fan-in."""


class Watched:
    """One delivery of a step, from when it comes to when it is answered.

    ``clock`` gives seconds of the epoch. What it is not told is not in its line.
    """

    def __init__(self, step: str, instance: str, clock: Callable[[], float]) -> None:
        self.trace: Trace | None = None
        self._clock = clock
        self._began = clock()
        self._span = Span()
        self._scope = _extended(None, {"fantasm_instance": instance, "fantasm_step": step})
        self._fields: dict[str, Any] = {"instance": instance, "step": step}
        self._way = self._name = step

    def sees(self, step: Step) -> None:
        """Learns where the step stands, and forgets what an attempt came to that somebody else overtook."""
        self._fields = {
            "instance": step.instance,
            "step": self._name,
            "machine": step.machine,
            "from_state": step.state,
            "event": step.event,
            "state": step.target,
        }
        self._way = way_of(step)

    @contextmanager
    def attempt(self, task: Task, number: int) -> Iterator[Trace]:
        """Has an attempt run in its scope and its span, and answers the place that its steps hang under.

        That is the span of an SDK where one records it: who looks at a trace is to find the parents. Else it
        is equal for all deliveries of the attempt.
        """
        step, name = task.step, task.step.name
        self.sees(step)
        self._fields |= {"attempt": number, "epoch": task.epoch}
        if task.created:  # a task that carries its step does not tell when it was due
            self._fields["queue_delay_ms"] = max(0, round((self._began - task.due) * 1000))
        parent = task.trace or begun_by(step.instance)
        labels = labels_of(step, name, number)
        attributes = _attributes(task, name, number) if is_recording() else {}
        with consuming(f"fantasm {step.machine}.{step.target}", parent, task.links, attributes) as span:
            self._span = span
            self.trace = span.trace or parent.under(span_of(name, task.epoch, number))
            self._scope = _extended(self.trace, labels)
            with within(self._scope):
                yield self.trace

    def collects(self, entries: Sequence[Entry]) -> None:
        """Learns what came together here: the span has links to where that comes from."""
        self._fields["entries"] = len(entries)
        links = [each.trace for each in entries if each.trace is not None]
        self._span.links_to(links)
        if self.trace is not None:
            own = self.trace.id
            others = list(dict.fromkeys(each.id for each in links if each.id != own))
            if others:
                self._fields["links"] = others[:MOST_TRACES]
                self._fields["links_left_out"] = max(0, len(others) - MOST_TRACES)

    def failed(self, error: BaseException, failure: Failure | None, given_up: bool) -> None:
        """Learns that the attempt failed, and whether it was the last one."""
        self._fields["given_up"] = given_up
        if failure is not None:
            self._fields |= {"error": failure.error, "fingerprint": failure.fingerprint}
        self._span.failed(error, failure.error if failure else "")

    def committed(self, outcome: Outcome, event: str | None, following: int) -> None:
        """Learns what the attempt came to, and how many steps follow at once."""
        self._fields |= {"outcome": outcome.value, "next": following}
        if event is not None:
            self._fields["returned"] = event
        self._span.says({"fantasm.outcome": outcome.value})

    def answered(self, verdict: str, message: str = "") -> None:
        """Writes the line of the delivery."""
        if not log.isEnabledFor(logging.INFO):
            return
        took = max(0, round((self._clock() - self._began) * 1000))
        told = self._fields | {"verdict": verdict, "duration_ms": took}
        attempt = f", attempt {told['attempt']}" if told.get("attempt", 1) > 1 else ""
        why = f": {message}" if message else ""
        with within(self._scope):
            log.info("%s %s%s in %d ms%s", self._way, verdict, attempt, took, why, extra={FIELDS: told})


@contextmanager
def running(task: Task) -> Iterator[None]:
    """Has a step that runs within a request run under its labels, at the request's place in a trace."""
    with within(_extended(None, labels_of(task.step, task.step.name, 1))):
        yield


@contextmanager
def starting(start: Start) -> Iterator[Start]:
    """Has a start made in its scope and its span, and answers it with the place that it begins at.

    That is in the trace of what runs at the moment, a request or a step, and else in one of its own.
    """
    around, instance = current() or Scope(), start.instance
    labels = {"fantasm_machine": instance.machine, "fantasm_instance": instance.id}
    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.type": "send",
        "messaging.destination.name": start.task.queue,
        "messaging.message.id": start.task.step.name,
        "fantasm.machine": instance.machine,
        "fantasm.instance": instance.id,
    }
    with producing(f"fantasm start {instance.machine}", around.trace, attributes) as span:
        trace = span.trace or begun_by(instance.id, around.trace)
        with within(Scope(trace, labels, around.request)):
            yield start.under(trace)


def way_of(step: Step) -> str:
    """A step as people read it: ``Machine: State.event -> State``."""
    source = "start" if step.event == PSEUDO_INIT else f"{step.state}.{step.event}"
    return f"{step.machine}: {source} -> {step.target}"


def labels_of(step: Step, name: str, number: int) -> dict[str, str]:
    """The labels of everything that is logged in an attempt at a step."""
    return {
        "fantasm_machine": step.machine,
        "fantasm_state": step.target,
        "fantasm_event": step.event,
        "fantasm_instance": step.instance,
        "fantasm_step": name,
        "fantasm_attempt": str(number),
    }


def _attributes(task: Task, name: str, number: int) -> dict[str, str | int]:
    step = task.step
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.type": "process",
        "messaging.destination.name": task.queue,
        "messaging.message.id": name,
        "fantasm.machine": step.machine,
        "fantasm.state": step.target,
        "fantasm.event": step.event,
        "fantasm.instance": step.instance,
        "fantasm.attempt": number,
        "fantasm.epoch": task.epoch,
    }


def _extended(trace: Trace | None, labels: dict[str, str]) -> Scope:
    """The scope of a delivery, in the request that brings it."""
    around = current() or Scope()
    return Scope(trace or around.trace, labels, around.request)
