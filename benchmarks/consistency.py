"""What the engine leaves behind when everything has ended, and what must not be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud.datastore import helpers
from google.cloud.datastore_v1 import DatastoreClient, types

from benchmarks.deployment import Datastore

IN_FLIGHT = ("FantasmTask", "FantasmEntry", "FantasmFanIn")


@dataclass(frozen=True, slots=True)
class Row:
    """An entity and its version.

    Versions grow with every commit, over all entities: here they say what was written before what. The times
    in the rows do not, because clocks are wrong on purpose.
    """

    name: str
    entity: Any
    version: int


def rows_of(api: DatastoreClient, place: Datastore, kind: str) -> Iterator[Row]:
    """All entities of a kind. The public client does not tell their versions."""
    query = types.Query(kind=[types.KindExpression(name=kind)])
    partition = types.PartitionId(project_id=place.project, namespace_id=place.namespace)
    while True:
        request = types.RunQueryRequest(project_id=place.project, partition_id=partition, query=query)
        batch = api.run_query(request=request).batch
        for each in batch.entity_results:
            raw = types.EntityResult.pb(each)
            entity: Any = helpers.entity_from_protobuf(raw.entity)  # type: ignore[no-untyped-call]  # untyped
            yield Row(str(entity.key.name), entity, raw.version)
        if batch.more_results != types.QueryResultBatch.MoreResultsType.NOT_FINISHED:
            return
        query.start_cursor = batch.end_cursor


def instances_of(api: DatastoreClient, place: Datastore) -> dict[str, Row]:
    """The rows of all instances by their ids."""
    return {each.entity["instance"]: each for each in rows_of(api, place, "FantasmInstance")}


def wrong_instances(instances: Mapping[str, Row], started: Mapping[str, str], told: str) -> list[str]:
    """Instances that are not what they should be, or not there, or more than should be.

    ``started`` are those that were started from outside, with their machines, ``told`` the machine that is
    told of their ends. Others need a parent, which has to wait for them.
    """
    wrong = [f"{each} ({started[each]}) is not there" for each in started.keys() - instances.keys()]
    for name, row in instances.items():
        machine, parent = row.entity["machine"], row.entity.get("parent")
        status, ended = row.entity["status"], row.entity.get("ended")
        if status != "completed" or ended is None:
            wrong.append(f"{name} ({machine}) is {status}, ended {ended}")
        if (name in started) == (parent is not None):
            wrong.append(f"{name} ({machine}) was started by {parent}")
        elif parent not in (None, *instances):
            wrong.append(f"{name} ({machine}) was started by {parent}, which is not there")
        elif parent is None or machine == told or ended is None:
            continue
        elif row.version > instances[parent].version:
            wrong.append(f"{parent} had ended when its child {name} ended")
    return wrong


def wrong_records(records: Sequence[Row], instances: Mapping[str, Row]) -> list[str]:
    """Records that do not fit together: each step is over once, was sent on its way once, and in time."""
    names = {each.name for each in records}
    first = {row.entity["first_step"] for row in instances.values()}
    sent = Counter(
        name for row in records for name in {*row.entity.get("next", ()), *row.entity.get("ahead", ())}
    )
    wrong = [f"{each} is over, but has no record" for each in (first | sent.keys()) - names]
    wrong += [f"{each} was sent {times} times" for each, times in sent.items() if times > 1]
    for row in records:
        owner = instances.get(row.entity["instance"])
        # A join is released by the end of the branches before it, not by a step.
        if row.name not in first | sent.keys() and not row.entity["branch"].startswith("join"):
            wrong.append(f"{row.name} was sent by nobody")
        if owner is None:
            wrong.append(f"{row.name} is of no instance")
        elif row.version > owner.version:
            wrong.append(f"{row.name} was not over when its instance ended")
    return wrong


def rows_left(api: DatastoreClient, place: Datastore) -> list[str]:
    """Rows that only what is in flight has."""
    return [
        f"{kind} {row.name} is left: {dict(row.entity)}"
        for kind in IN_FLIGHT
        for row in rows_of(api, place, kind)
    ]
