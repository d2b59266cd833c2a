"""Who may do what: one table. Nobody may do anything that is not in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Need(StrEnum):
    """What a request is about."""

    STYLE = "fetch a style sheet"
    """Or a script: files of this package, which have nothing of the application."""

    STEP = "deliver a step"
    SWEEP = "sweep"
    START = "start a machine"
    LOOK = "look"
    COMMAND = "give a command"


class Role(StrEnum):
    """What a caller has proved to be. One caller may be several."""

    TASKS = "tasks"
    """A queue of this project delivers a task."""
    SCHEDULER = "scheduler"
    """App Engine's cron or Cloud Scheduler."""
    STARTER = "starter"
    """On the list of those who may start machines."""
    INVITED = "invited"
    """Has a start token, which is for one start of one machine."""
    VIEWER = "viewer"
    OPERATOR = "operator"


MAY = MappingProxyType(
    {
        Need.STYLE: frozenset(Role),
        Need.STEP: frozenset({Role.TASKS}),
        Need.SWEEP: frozenset({Role.SCHEDULER, Role.OPERATOR}),
        Need.START: frozenset({Role.TASKS, Role.SCHEDULER, Role.STARTER, Role.INVITED, Role.OPERATOR}),
        Need.LOOK: frozenset({Role.VIEWER, Role.OPERATOR}),
        Need.COMMAND: frozenset({Role.OPERATOR}),
    }
)


@dataclass(frozen=True, slots=True)
class Identity:
    """An account that a token or an assertion has proved.

    ``domain`` is the organization that has it, where that is proved as well: a private account may have an
    address in any domain.
    """

    email: str
    domain: str = ""

    @property
    def is_service_account(self) -> bool:
        """Whether Google made it for a program; their addresses are in domains of Google's own."""
        return self.email.lower().endswith((".gserviceaccount.com", "@gserviceaccount.com"))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request. ``ambient`` where a browser attaches the proof by itself, whoever wrote the page
    that makes it send the request: then a command needs a proof that it comes from our own page.
    """

    name: str = "nobody"
    roles: frozenset[Role] = frozenset()
    ambient: bool = False

    def may(self, need: Need) -> bool:
        """Whether a role of this caller is enough; anybody may fetch a style sheet."""
        return need is Need.STYLE or not self.roles.isdisjoint(MAY[need])


NOBODY = Caller()


def is_listed(identity: Identity, accounts: Iterable[str]) -> bool:
    """Whether an account is on a list, in which ``*@example.com`` is everybody of that domain."""
    account = identity.email.lower()
    domain = account.rpartition("@")[2] if identity.is_service_account else identity.domain.lower()
    everybody = f"*@{domain}" if domain and account.endswith(f"@{domain}") else None
    named = None if account.startswith("*@") else account  # an address of which somebody made an account
    return any(each in (named, everybody) for each in accounts)
