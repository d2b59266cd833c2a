"""Failures made on purpose: which of the next attempts fail, and how.

They are kept in memory: a restart forgets them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

_LEAST_FAILURE, _MOST_STATUS = 300, 599
MOST_ATTEMPTS = 1_000_000
"""How many attempts one fault may befall."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one attempt: instead of what the worker answers, ``status``; None for no answer in time.

    With ``reach`` the worker is called all the same, and what it answers is lost; without, it is not called.
    """

    status: int | None
    reach: bool


@dataclass(frozen=True, slots=True)
class SetFault:
    """A fault as it was set: it befalls the next ``left`` attempts in ``queue`` and at ``task``.

    An empty ``queue`` or ``task``, which are full names, stands for every one. ``id`` cancels it.
    """

    id: int
    fault: Fault
    left: int
    queue: str = ""
    task: str = ""

    def befalls(self, task: str) -> bool:
        """Whether an attempt at the task of that name is one of those that are to fail."""
        return task == self.task if self.task else not self.queue or task.startswith(f"{self.queue}/tasks/")


class Faults:
    """The faults that are set, in the order of their setting; used with the lock of its server held."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._set: dict[int, SetFault] = {}

    def add(self, fault: Fault, attempts: int, queue: str, task: str) -> int:
        """Sets a fault and answers its id.

        Raises ``ValueError`` for a status that is no failure, a count that is none, and a task that is not of
        the queue: such a fault would never be seen.
        """
        if not 1 <= attempts <= MOST_ATTEMPTS:
            raise ValueError(f"of the next 1 to {MOST_ATTEMPTS} attempts can be said that they fail")
        if fault.status is not None and not _LEAST_FAILURE <= fault.status <= _MOST_STATUS:
            raise ValueError(
                f"{fault.status} is not the status of a failure: take one from {_LEAST_FAILURE} to "
                f"{_MOST_STATUS}, or none for no answer at all"
            )
        if queue and task and not task.startswith(f"{queue}/tasks/"):
            raise ValueError(f"{task} is not a task of {queue}: name the task alone")
        made = SetFault(next(self._ids), fault, attempts, queue, task)
        self._set[made.id] = made
        return made.id

    def take(self, task: str) -> Fault | None:
        """What befalls the attempt that begins at a task; of several faults, the one set first is used up."""
        for each in self._set.values():
            if each.befalls(task):
                if each.left == 1:
                    del self._set[each.id]
                else:
                    self._set[each.id] = replace(each, left=each.left - 1)
                return each.fault
        return None

    def all(self) -> list[SetFault]:
        """What is set and not used up."""
        return list(self._set.values())

    def cancel(self, fault: int) -> bool:
        """Takes a fault back and answers whether it was set; attempts that it has befallen still fail."""
        return self._set.pop(fault, None) is not None

    def clear(self) -> None:
        """Takes all faults back."""
        self._set.clear()
