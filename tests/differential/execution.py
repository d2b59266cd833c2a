"""Sends the operations of a sequence to a backend, one after another, and keeps what it answered."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud.datastore_v1 import types

from differential.operations import NOTHING, Earlier, Operation, filled

DEADLINE_SECONDS = 30.0
_PREFIX = "/google.datastore.v1.Datastore/"


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation was answered to its request: a message, or the refusing status code's name."""

    operation: Operation
    request: Any
    status: str
    message: Any
    details: str = ""


def new_project() -> str:
    """A project no sequence has run in: what one does no other sees. Always of the same length."""
    return f"d{secrets.token_hex(8)}"


def execute(operations: Iterable[Operation], channel: grpc.Channel, project: str) -> list[Reply]:
    """The replies of a backend to the operations, in their order."""
    replies: dict[int, Reply] = {}
    for operation in operations:
        fields = filled(operation.fields, project, lambda wanted: _found(wanted, replies))
        replies[operation.number] = _call(channel, operation, {"project_id": project, **fields})
    return list(replies.values())


def _call(channel: grpc.Channel, operation: Operation, fields: Mapping[str, Any]) -> Reply:
    request = getattr(types, f"{operation.method}Request").pb()
    response = getattr(types, f"{operation.method}Response").pb()
    call = channel.unary_unary(_PREFIX + operation.method, request.SerializeToString, response.FromString)
    sent = request(**fields)
    try:
        return Reply(operation, sent, "OK", call(sent, timeout=DEADLINE_SECONDS))
    except grpc.RpcError as error:
        return Reply(operation, sent, error.code().name, None, error.details() or "")


def _found(wanted: Earlier, replies: Mapping[int, Reply]) -> Any:
    reply = replies.get(wanted.number)
    values = [] if reply is None or reply.message is None else _FINDERS[wanted.what](reply.message)
    return values[wanted.place] if wanted.place < len(values) else NOTHING[wanted.what]


def _transactions(message: Any) -> list[bytes]:
    return [message.transaction] if message.transaction else []


def _stamped(message: Any) -> list[Any]:
    """Everything in an answer that has a version and a time of its last change."""
    for name in ("mutation_results", "found"):
        if name in message.DESCRIPTOR.fields_by_name:
            return list(getattr(message, name))
    return list(message.batch.entity_results)


def _times(message: Any) -> list[dict[str, int]]:
    stamps = [stamped.update_time for stamped in _stamped(message)]
    return [{"seconds": stamp.seconds, "nanos": stamp.nanos} for stamp in stamps]


def _key_ids(message: Any) -> list[int]:
    """The ids a commit or an allocation has given."""
    keys = [result.key for result in getattr(message, "mutation_results", ())] or list(
        getattr(message, "keys", ())
    )
    return [key.path[-1].id for key in keys if key.path]


_FINDERS: Mapping[str, Callable[[Any], list[Any]]] = {
    "transaction": _transactions,
    "version": lambda message: [stamped.version for stamped in _stamped(message)],
    "update_time": _times,
    "key_id": _key_ids,
    "cursor": lambda message: [result.cursor for result in message.batch.entity_results],
    "end_cursor": lambda message: [message.batch.end_cursor],
    "skipped_cursor": lambda message: [message.batch.skipped_cursor],
}
