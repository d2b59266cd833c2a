"""Short ways to write requests to a Datastore, and to read its answers, for the tests beside it."""

from __future__ import annotations

from typing import Any

from datastore_backends import PROJECT, DatastoreBackend
from datastore_backends import skip_gap as skip_gap  # of every test beside it
from google.cloud.datastore_v1 import DatastoreClient

NON_TRANSACTIONAL = "NON_TRANSACTIONAL"
TRANSACTIONAL = "TRANSACTIONAL"


class Low:
    """The generated client with one project and namespace, in plain dictionaries."""

    def __init__(self, backend: DatastoreBackend) -> None:
        self.api: DatastoreClient = backend.low_level()
        self.namespace = backend.namespace

    def key(self, *path: Any, namespace: str | None = None, project: str = PROJECT) -> dict[str, Any]:
        """A key from kinds and identifiers in turn; ``None`` leaves the last one incomplete."""
        elements = []
        for kind, identifier in zip(path[::2], path[1::2], strict=True):
            element = {"kind": kind}
            if identifier is not None:
                element["name" if isinstance(identifier, str) else "id"] = identifier
            elements.append(element)
        space = self.namespace if namespace is None else namespace
        return {"partition_id": {"project_id": project, "namespace_id": space}, "path": elements}

    def entity(self, key: dict[str, Any], **properties: Any) -> dict[str, Any]:
        """An entity; properties are Python values, or dictionaries of ``Value`` fields."""
        return {"key": key, "properties": {name: value_of(value) for name, value in properties.items()}}

    def commit(self, *mutations: dict[str, Any], **more: Any) -> Any:
        """A commit, not transactional unless a transaction is given."""
        transactional = "transaction" in more or "single_use_transaction" in more
        mode = TRANSACTIONAL if transactional else NON_TRANSACTIONAL
        request = {"project_id": PROJECT, "mode": mode, "mutations": list(mutations), **more}
        return self.api.commit(request=request)

    def put(self, *path: Any, **properties: Any) -> Any:
        """Upserts one entity and answers its ``MutationResult``."""
        return self.commit({"upsert": self.entity(self.key(*path), **properties)}).mutation_results[0]

    def lookup(self, *keys: dict[str, Any], **more: Any) -> Any:
        return self.api.lookup(request={"project_id": PROJECT, "keys": list(keys), **more})

    def begin(self, **options: Any) -> bytes:
        request = {"project_id": PROJECT, "transaction_options": options}
        return bytes(self.api.begin_transaction(request=request).transaction)

    def query(self, kind: str | None = None, *, read_options: Any = None, **fields: Any) -> Any:
        """One RunQuery: its response."""
        query = dict(fields, kind=[{"name": kind}]) if kind else fields
        request = {
            "project_id": PROJECT,
            "partition_id": {"project_id": PROJECT, "namespace_id": self.namespace},
            "query": query,
            "read_options": read_options or {},
        }
        return self.api.run_query(request=request)

    def aggregate(self, kind: str, *aggregations: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """One RunAggregationQuery: its results by alias, as Python values."""
        request = {
            "project_id": PROJECT,
            "partition_id": {"project_id": PROJECT, "namespace_id": self.namespace},
            "aggregation_query": {
                "nested_query": {"kind": [{"name": kind}], **fields},
                "aggregations": list(aggregations),
            },
        }
        batch = self.api.run_aggregation_query(request=request).batch
        found = batch.aggregation_results[0].aggregate_properties
        return {alias: plain(value) for alias, value in found.items()}


def value_of(value: Any) -> dict[str, Any]:
    """A ``Value`` for a Python value."""
    if isinstance(value, dict):
        return value
    if value is None:
        return {"null_value": 0}
    if isinstance(value, list):
        return {"array_value": {"values": [value_of(element) for element in value]}}
    fields = {bool: "boolean_value", int: "integer_value", float: "double_value"}
    fields |= {str: "string_value", bytes: "blob_value"}
    return {fields[type(value)]: value}


def plain(value: Any) -> Any:
    """The Python value of a ``Value`` that holds a scalar."""
    raw = type(value).pb(value)
    kind = raw.WhichOneof("value_type")
    return None if kind == "null_value" else getattr(raw, kind)


def where(name: str, op: str, value: Any) -> dict[str, Any]:
    """A filter on one property."""
    return {"property_filter": {"property": {"name": name}, "op": op, "value": value_of(value)}}


def all_of(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"composite_filter": {"op": "AND", "filters": list(filters)}}


def any_of(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"composite_filter": {"op": "OR", "filters": list(filters)}}


def by(*names: str) -> list[dict[str, Any]]:
    """Orders; a name that begins with a minus sorts descending."""
    return [
        {
            "property": {"name": name.lstrip("-")},
            "direction": "DESCENDING" if name.startswith("-") else "ASCENDING",
        }
        for name in names
    ]


def properties(*names: str) -> list[dict[str, Any]]:
    """A projection of properties."""
    return [{"property": {"name": name}} for name in names]


def identifiers(response: Any) -> list[Any]:
    """The names or ids of a query's results, in order."""
    found = []
    for result in response.batch.entity_results:
        last = result.entity.key.path[-1]
        found.append(last.name or last.id)
    return found
