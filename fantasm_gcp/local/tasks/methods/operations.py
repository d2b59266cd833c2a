"""The operations that batches were answered with: each is done at once, and is kept for a while."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import Any, Final

from google.longrunning.operations_pb2 import GetOperationRequest, Operation

from fantasm_gcp.local.rpc import Method, Service
from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.scheduling.state import State

_MOST: Final = 1000
_MOST_BYTES: Final = 32 * 1024 * 1024


class Operations:
    """``google.longrunning.Operations`` as far as the clients of Cloud Tasks call it: GetOperation.

    The last 1,000 operations are kept, or fewer if they are large, as long as the process lives. Everything
    but the method of the API is used with the lock held.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: OrderedDict[str, tuple[Any, tuple[str, ...] | None]] = OrderedDict()
        self._asked: dict[tuple[str, ...], Any] = {}
        self._bytes = 0

    def service(self) -> Service:
        """The service, for where that of Cloud Tasks is served."""
        method = Method(GetOperationRequest, Operation, self.get_operation)
        return Service("google.longrunning.Operations", {"GetOperation": method})

    def get_operation(self, request: Any) -> Any:
        """An operation by its name; NOT_FOUND when there was none, or it is not kept any more."""
        with self._state.call():
            kept = self._kept.get(request.name)
            if kept is None:
                raise refusals.not_found(refusals.ENTITY_NOT_FOUND)
            return kept[0]

    def earlier(self, key: tuple[str, ...]) -> Any | None:
        """The operation that a request with this key was answered with."""
        return self._asked.get(key)

    def keep(self, operation: Any, location: str, key: tuple[str, ...] | None) -> None:
        """Names an operation that is done and keeps it; ``key`` finds it again when it is asked for twice."""
        operation.name = f"{location}/operations/{uuid.uuid4()}"
        operation.done = True
        self._kept[operation.name] = operation, key
        self._bytes += operation.ByteSize()
        if key is not None:
            self._asked[key] = operation
        while len(self._kept) > _MOST or self._bytes > _MOST_BYTES:
            _, (forgotten, asked) = self._kept.popitem(last=False)
            self._bytes -= forgotten.ByteSize()
            if asked is not None:
                del self._asked[asked]

    def replace(self, operation: Any) -> None:
        """Has an operation that is kept look so when it is got, in the messages of another version."""
        if operation.name in self._kept:
            before, key = self._kept[operation.name]
            self._kept[operation.name] = operation, key
            self._bytes += operation.ByteSize() - before.ByteSize()

    def clear(self) -> None:
        """Forgets all operations."""
        self._kept.clear()
        self._asked.clear()
        self._bytes = 0
