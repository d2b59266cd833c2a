"""GQL text read into structured messages, for the tests of it."""

from __future__ import annotations

from typing import Any

import pytest
from datastore_backends import PROJECT
from datastore_support import where
from google.cloud.datastore_v1 import types

from fantasm_gcp.local.datastore.gql import read_gql, read_gql_aggregation
from fantasm_gcp.local.rpc import RpcError


def message(text: str, named: Any = None, positional: Any = (), *, literals: bool = True) -> Any:
    """A raw ``GqlQuery``; parameters are dictionaries."""
    fields = {"query_string": text, "allow_literals": literals}
    return types.GqlQuery.pb(
        types.GqlQuery(fields, named_bindings=named or {}, positional_bindings=list(positional))
    )


def partition(namespace: str = "") -> Any:
    return types.PartitionId.pb(types.PartitionId(project_id=PROJECT, namespace_id=namespace))


def read(text: str, named: Any = None, positional: Any = (), *, literals: bool = True) -> Any:
    """The raw ``Query`` that text means."""
    return read_gql(message(text, named, positional, literals=literals), partition(), PROJECT, "")


def aggregation(text: str, named: Any = None, positional: Any = (), *, literals: bool = True) -> Any:
    gql = message(text, named, positional, literals=literals)
    return read_gql_aggregation(gql, partition(), PROJECT, "")


def query(**fields: Any) -> Any:
    """A raw ``Query`` of kind K, unless another is given."""
    return types.Query.pb(types.Query({"kind": [{"name": "K"}]} | fields))


def condition(text: str) -> Any:
    """The raw ``Filter`` that a condition of a query over K means."""
    return read(f"SELECT * FROM K WHERE {text}").filter


def filter_of(fields: dict[str, Any]) -> Any:
    return types.Filter.pb(types.Filter(fields))


def value_of(text: str) -> Any:
    """The raw ``Value`` that a literal means."""
    return condition(f"a = {text}").property_filter.value


def refusal(action: Any, *arguments: Any, **named: Any) -> str:
    """The message with which something is refused as INVALID_ARGUMENT."""
    with pytest.raises(RpcError) as caught:
        action(*arguments, **named)
    assert "INVALID_ARGUMENT" == caught.value.code.name
    return caught.value.message


def key_of(*path: tuple[str, Any], namespace: str = "", project: str = PROJECT) -> dict[str, Any]:
    elements = [{"kind": kind, "name" if isinstance(i, str) else "id": i} for kind, i in path]
    dimensions = {"project_id": project, "namespace_id": namespace}
    return {"key_value": {"partition_id": dimensions, "path": elements}}


def bound(value: Any) -> dict[str, Any]:
    """A parameter: bytes are a cursor, all else a value."""
    if isinstance(value, bytes):
        return {"cursor": value}
    return {"value": where("a", "EQUAL", value)["property_filter"]["value"]}
