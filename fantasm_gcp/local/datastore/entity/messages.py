"""The raw protobuf classes of the Datastore API, and how refusals are raised.

The client library ships its messages wrapped in proto-plus; the server works on the bare ones, which are
several times faster and are what the wire carries.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.cloud.datastore_v1 import types

from fantasm_gcp.local.rpc import RpcError

Key = types.Key.pb()
Value = types.Value.pb()
Entity = types.Entity.pb()
EntityResult = types.EntityResult.pb()
MutationResult = types.MutationResult.pb()
Query = types.Query.pb()
AggregationQuery = types.AggregationQuery.pb()
QueryResultBatch = types.QueryResultBatch.pb()
AggregationResult = types.AggregationResult.pb()

LookupRequest = types.LookupRequest.pb()
LookupResponse = types.LookupResponse.pb()
RunQueryRequest = types.RunQueryRequest.pb()
RunQueryResponse = types.RunQueryResponse.pb()
RunAggregationQueryRequest = types.RunAggregationQueryRequest.pb()
RunAggregationQueryResponse = types.RunAggregationQueryResponse.pb()
BeginTransactionRequest = types.BeginTransactionRequest.pb()
BeginTransactionResponse = types.BeginTransactionResponse.pb()
CommitRequest = types.CommitRequest.pb()
CommitResponse = types.CommitResponse.pb()
RollbackRequest = types.RollbackRequest.pb()
RollbackResponse = types.RollbackResponse.pb()
AllocateIdsRequest = types.AllocateIdsRequest.pb()
AllocateIdsResponse = types.AllocateIdsResponse.pb()
ReserveIdsRequest = types.ReserveIdsRequest.pb()
ReserveIdsResponse = types.ReserveIdsResponse.pb()

_SECONDS = range(-62_135_596_800, 253_402_300_800)
_NANOS = range(1_000_000_000)


def invalid(message: str) -> RpcError:
    """The refusal of a request that can never succeed: INVALID_ARGUMENT."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)


def set_time(timestamp: Any, micros: int) -> None:
    """Fills a protobuf ``Timestamp`` from microseconds since the epoch."""
    timestamp.seconds, rest = divmod(micros, 1_000_000)
    timestamp.nanos = rest * 1000


def micros_of(timestamp: Any) -> int:
    """Microseconds since the epoch of a protobuf ``Timestamp``; finer parts are rounded down.

    Raises INVALID_ARGUMENT for what no ``Timestamp`` may be: outside of the years 1 to 9999.
    """
    if timestamp.seconds not in _SECONDS:
        raise invalid("Timestamp seconds exceeds limit for field")
    if timestamp.nanos not in _NANOS:
        raise invalid("Timestamp nanos exceeds limit for field")
    return int(timestamp.seconds) * 1_000_000 + int(timestamp.nanos) // 1000
