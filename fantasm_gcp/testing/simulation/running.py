"""What is under way in a simulated run, and what is written down of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fantasm_gcp.errors import StoreError
from fantasm_gcp.local.tasks import Attempt, Response
from fantasm_gcp.testing.faults import Crash, Rpc
from fantasm_gcp.testing.harness import Harness
from fantasm_gcp.testing.simulation.faults import Fault
from fantasm_gcp.testing.simulation.journal import Journal
from fantasm_gcp.testing.strand import Strand


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the schedule: when, who, and what; an RPC has its request and perhaps a fault."""

    time: float
    who: str
    what: str
    rpc: Rpc | None = None


@dataclass(slots=True)
class Running:
    """A delivery or a command that is under way; ``skew`` is how far its worker's clock is ahead."""

    who: str
    strand: Strand
    ended: Callable[[Running], None]
    skew: float = 0.0
    attempt: Attempt | None = None
    fault: Fault | None = None


@dataclass(slots=True)
class Crowd:
    """All that is under way: each goes on, up to its next RPC, when it is stepped.

    ``complaints`` are of answers that nobody could read.
    """

    harness: Harness
    journal: Journal
    schedule: list[Event] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    begun: int = 0
    current: Running | None = None

    def __post_init__(self) -> None:
        self.harness.around = self._around

    def tell(self, who: str, what: str) -> None:
        """Writes something down."""
        self.schedule.append(Event(self.harness.clock(), who, what))

    def launch(
        self,
        who: str,
        act: Callable[[], Any],
        ended: Callable[[Running], None],
        skew: float,
        attempt: Attempt | None = None,
    ) -> None:
        """Has something begin when it is first stepped; ``ended`` is called with it at its end."""
        self.begun += 1
        running = Running(f"#{self.begun} {who}", Strand(act), ended, skew, attempt)
        self.running.append(running)
        self.tell(running.who, "begins" + (f", its clock {skew:+g} s" if skew else ""))

    def step(self, running: Running) -> None:
        """Has one run up to its next RPC; its fault befalls the one that it stands before."""
        self.current, self.harness.skew = running, running.skew
        try:
            running.strand.step()
        except StoreError as error:
            self.tell(running.who, f"gets no answer: {error}")
        finally:
            self.current, self.harness.skew = None, 0.0
        if running.strand.over:
            self.running.remove(running)
            running.ended(running)

    def _around(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        running = self.current
        assert running is not None, "only strands make RPCs"
        if running.strand.crashed:
            raise Crash
        running.strand.stop(rpc)
        fault, running.fault = running.fault, None
        words = "" if fault is None or not fault.concerns(rpc) else fault.words
        self.schedule.append(Event(self.harness.clock(), running.who, words, rpc))
        try:
            if fault is None:
                return self.journal.note(rpc, carry_out)
            return fault.befall(rpc, lambda: self.journal.note(rpc, carry_out))
        except Crash:
            running.strand.crashed = True
            raise

    def answered(self, running: Running) -> Response | None:
        """The response to a delivery, written down; None where its worker died."""
        response: Response | None = running.strand.result
        if response is None:
            return None
        try:
            answer = json.loads(response.body)
            words = f"{answer['verdict']}{': ' if answer['message'] else ''}{answer['message']}"
        except (ValueError, KeyError, TypeError):
            words = "nothing that can be read"
            body = response.body[:300].decode(errors="replace")
            self.complaints.append(f"{running.who} was answered {response.status}: {body}")
        self.tell(running.who, f"is answered {response.status}, {words}")
        return response

    def abandon(self) -> None:
        """Ends what is still under way: a strand that stands still for ever would keep its thread."""
        for each in self.running:
            each.strand.crashed = True
            self.current = each
            while not each.strand.over:
                each.strand.step()
