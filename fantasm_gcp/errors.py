"""Every error of the library.

A subclass exists only where a caller acts differently::

    FantasmError
    ├── DefinitionError            fsm.yaml has problems; carries all of them
    ├── SettingsError              a setting is missing or has a wrong value
    ├── HaltMachineError           raised by an action: its branch, or its instance, stops here
    ├── RetryLater                 raised by an action: the step is to be tried again later
    ├── StartError                 a start request is refused: the caller's fault
    │   ├── UnknownMachineError    there is no machine of that name
    │   ├── AlreadyStartedError    the name of a start was used before
    │   └── ContextTooLargeError   a context is over 10 MiB
    ├── CommandError               an operator's command cannot be carried out as things are
    │   └── NotThereError          there is no such instance, step or hold
    ├── MissingDefinitionError     this deployment does not know a step's machine or state: another may
    ├── StepError                  retrying cannot help: the step fails at once
    │   ├── NoEventError           a state that is not final returned no event
    │   └── UnknownEventError      the state has no transition for the event
    ├── IdentityError              a caller's token or assertion proves nothing: it is refused
    ├── UnverifiedError            what would prove or disprove it could not be read: try again
    └── StoreError                 Datastore or Cloud Tasks said no
        ├── ConflictError          a compare-and-set met another version: load again and decide again
        ├── ContentionError        a transaction lost to others again and again: a failed attempt
        ├── AlreadyExistsError     an insert or a create found its name taken
        ├── RefusedError           the request itself is wrong: an entity too large, say
        └── UnavailableError       nothing is known about the outcome: try again
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

MOST_RETRY_LATER = 30 * 24 * 3600
"""Cloud Tasks schedules a task at most 30 days ahead (its quotas page)."""


class FantasmError(Exception):
    """Root of all errors that the library raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a definition file, with its place.

    ``line`` and ``column`` count from 1; ``source`` is the text of that line, without its newline.
    """

    severity: Literal["error", "warning"]
    file: str
    line: int
    column: int
    source: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        if not self.source.strip():
            return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}{hint}"
        gutter = str(self.line)
        return (
            f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}{hint}\n"
            f"    {gutter} | {self.source}\n"
            f"    {' ' * len(gutter)} | {' ' * (self.column - 1)}^"
        )


class DefinitionError(FantasmError):
    """A definition file cannot be used; ``problems`` holds every finding, warnings included."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class SettingsError(FantasmError):
    """A setting is missing or has a value that cannot be used; the message says what to set."""


class HaltMachineError(FantasmError):
    """An action raises it to stop its branch: that is no failure, and the step is not retried.

    What the actions of this attempt staged, forked and spawned is dropped; other branches go on, unless
    ``scope`` is ``"instance"``: then every step of the instance that is still in flight is discarded.
    The message is logged once, at ``logLevel`` (one of the ``logging`` module; None: not at all), and kept
    with the step.
    """

    def __init__(
        self,
        message: str = "",
        logLevel: int | None = logging.INFO,  # noqa: N803  Fantasm's name for it
        scope: Literal["branch", "instance"] = "branch",
    ) -> None:
        if scope not in ("branch", "instance"):
            raise ValueError(f"scope {scope!r} is not known: branch or instance")
        self.log_level = logLevel
        self.scope = scope
        super().__init__(message)


class RetryLater(FantasmError):
    """An action raises it to have its step tried again in ``seconds``: that is no failed attempt.

    What the actions of this attempt staged, forked and spawned is dropped. Raises ``ValueError`` for less
    than 0 or more than 30 days.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        if not 0 <= seconds <= MOST_RETRY_LATER:
            raise ValueError(f"seconds={seconds} must be from 0 to {MOST_RETRY_LATER}, which are 30 days")
        self.seconds = seconds
        super().__init__(message or f"to be tried again in {seconds:g} seconds")


class StartError(FantasmError):
    """A start request is refused: its arguments are malformed or reserved."""


class UnknownMachineError(StartError):
    """There is no machine of that name; ``machines`` are the names there are."""

    def __init__(self, name: str, machines: tuple[str, ...]) -> None:
        self.name = name
        self.machines = machines
        super().__init__(f"unknown machine {name!r}; the machines are: {', '.join(machines) or 'none'}")


class AlreadyStartedError(StartError):
    """The name of a start was used before: the instance is there, and nothing was started."""


class ContextTooLargeError(StartError):
    """A context is larger than 10 MiB when encoded."""


class CommandError(FantasmError):
    """An operator's command cannot be carried out as things are; the message says why."""


class NotThereError(CommandError):
    """There is no such instance, step or hold."""


class MissingDefinitionError(FantasmError):
    """This deployment does not know the machine or state of a step that is in flight."""


class IdentityError(FantasmError):
    """A token or an assertion proves nothing; the message says why, for the log and not for the caller."""


class UnverifiedError(FantasmError):
    """The certificates that a token is verified with, or the metadata server, cannot be read just now."""


class StepError(FantasmError):
    """A step cannot go on and retrying would not help: it fails at once and waits to be redriven."""


class NoEventError(StepError):
    """A state that is not final returned no event."""


class UnknownEventError(StepError):
    """A state returned an event for which it has no transition."""


class StoreError(FantasmError):
    """Datastore or Cloud Tasks refused a request."""


class ConflictError(StoreError):
    """Something read is not what it was: nothing was written."""


class ContentionError(StoreError):
    """A transactional state's transaction lost to others again and again."""


class AlreadyExistsError(StoreError):
    """A name is taken: nothing was written."""


class RefusedError(StoreError):
    """A request was refused for what it says; the same request would be refused again."""


class UnavailableError(StoreError):
    """The service did not say whether the request was carried out; the same request may be tried again."""
