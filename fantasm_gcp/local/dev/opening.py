"""How the local servers are opened, and how it is said that they cannot be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from fantasm_gcp.errors import FantasmError
from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.tasks.configuration.tokens import GOOGLE_ISSUER

HOST = "127.0.0.1"
"""Where everything listens unless another address is asked for."""


class OpenError(FantasmError):
    """A server cannot be opened; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How the servers are opened.

    ``host`` is the address they listen at, the ports are 0 for free ones, and ``names`` are host names under
    which they answer beside those of this machine. ``pessimistic`` and what is about indexes are as for
    :class:`DatastoreServer`, ``create_queues`` as for :class:`TasksServer`, ``issuer`` is who signs the
    tokens that tasks carry. ``services`` is where the services of App Engine are, or where firebase-admin's
    functions are; None when its tasks have to say so themselves.
    """

    host: str = HOST
    datastore_port: int = 0
    tasks_port: int = 0
    names: Collection[str] = ()
    pessimistic: bool = False
    indexes: tuple[CompositeIndex, ...] | None = None
    require_indexes: bool = True
    newer_indexes: Callable[[], Iterable[CompositeIndex] | None] = lambda: None
    create_queues: bool = True
    issuer: str = GOOGLE_ISSUER
    services: Mapping[str, str] | None = None
