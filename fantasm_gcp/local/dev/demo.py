"""What a module needs to be run by `fantasm dev --demo MODULE`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """Whether a demonstration came out right, and lines that tell it to a person."""

    ok: bool
    lines: tuple[str, ...]


class Demo(Protocol):
    """The names that such a module has; ``client`` is the Datastore client that actions use."""

    MACHINE: str
    """The machine that is started, with an empty context."""

    def seed(self, client: Any) -> None:
        """Puts into Datastore what the machine works on. Idempotent: it is called at every start."""

    def total(self, client: Any) -> int:
        """How many steps of the initial state make a full progress bar."""

    def outcome(self, client: Any, instance: str) -> DemoOutcome:
        """Looks at what a completed instance has done."""
