"""Answers in a form in which two backends that behave alike are equal.

Times and versions become their rank among those of the same entity in the sequence, ids that a backend chose
their ordinal, cursors and transactions whether they are there, and lists whose order is undefined are sorted.
Messages of refusals are not kept, nor are versions and times of the single mutations of an entity that a commit
changes more than once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from differential.execution import Reply

Answer = dict[str, Any]

MADE_HERE = 1_700_000_000
"""Dates later than this (and of this millennium) are the server's own; no sequence holds such a date."""
_END_OF_ALL = 4_000_000_000
_RESULT_TYPES = ("UNSPECIFIED", "FULL", "PROJECTION", "KEY_ONLY")
_MORE = ("UNSPECIFIED", "NOT_FINISHED", "AFTER_LIMIT", "NO_MORE_RESULTS", "AFTER_CURSOR")


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A version or a moment of an entity, until it is known how many others of it are smaller."""

    what: str
    key: tuple[Any, ...]
    number: int


def normalise(replies: Iterable[Reply], project: str) -> list[Answer]:
    """The answers of a backend to one sequence that ran in ``project``."""
    reader = _Reader(project)
    answers = [reader.answer(reply) for reply in replies]
    return [_with_ranks(answer, reader.ranks()) for answer in answers]


class _Reader:
    def __init__(self, project: str) -> None:
        self._project = project
        self._seen: set[_Ranked] = set()
        # By the kind as well: the emulator begins at 1, and an id that a sequence chose may be equal.
        self._ids: dict[tuple[str, Any], str] = {}
        self._latest = 0  # of the times of changes, in microseconds

    def ranks(self) -> Mapping[_Ranked, str]:
        """What stands for each version and moment: how many others of its sort and entity come before it."""
        kept: dict[tuple[str, tuple[Any, ...]], list[_Ranked]] = {}
        for seen in sorted(self._seen, key=lambda seen: seen.number):
            kept.setdefault((seen.what, seen.key), []).append(seen)
        return {seen: f"{seen.what} {place}" for many in kept.values() for place, seen in enumerate(many)}

    def _ranked(self, what: str, key: tuple[Any, ...], number: int) -> _Ranked | None:
        if not number:
            return None
        ranked = _Ranked(what, key, number)
        self._seen.add(ranked)
        return ranked

    def _stamps(self, stamped: Any, key: tuple[Any, ...]) -> Answer:
        """Version and times of an entity; both times are ranked together."""
        created, updated = _micros(stamped.create_time), _micros(stamped.update_time)
        self._latest = max(self._latest, updated)
        return {
            "version": self._ranked("version", key, stamped.version),
            "created": self._ranked("moment", key, created),
            "updated": self._ranked("moment", key, updated),
        }

    def _written(self, mutation: Any, result: Any, key: tuple[Any, ...]) -> Answer:
        """The stamps of a mutation's result; of a deletion or a conflict only whether there is a version."""
        if mutation.WhichOneof("operation") != "delete" and not result.conflict_detected:
            return self._stamps(result, key)
        times = {"created": _micros(result.create_time), "updated": _micros(result.update_time)}
        return {
            "version": bool(result.version),
            **{name: self._ranked("moment", key, time) for name, time in times.items()},
        }

    def _read_time(self, stamp: Any) -> str:
        """How the moment of a reading or a commit lies to the changes that were seen before it."""
        micros = _micros(stamp)
        return "absent" if not micros else "not before the last change" if micros >= self._latest else "past"

    def answer(self, reply: Reply) -> Answer:
        if reply.message is None:
            return {"status": reply.status}
        fields: Callable[[Any, Any], Answer] = getattr(self, f"_{reply.operation.method.lower()}")
        return {"status": reply.status, **fields(reply.request, reply.message)}

    # -- the RPCs

    def _lookup(self, request: Any, message: Any) -> Answer:
        return {
            "found": sorted((self._result(result) for result in message.found), key=repr),
            "missing": sorted((self.key(result.entity.key) for result in message.missing), key=repr),
            "missing have properties": any(result.entity.properties for result in message.missing),
            "deferred": sorted((self.key(key) for key in message.deferred), key=repr),
            "transaction": bool(message.transaction),
            "read time": self._read_time(message.read_time),
        }

    def _runquery(self, request: Any, message: Any) -> Answer:
        batch = message.batch
        return {
            "type": _RESULT_TYPES[batch.entity_result_type],
            "results": [
                self._result(result) | {"cursor": bool(result.cursor)} for result in batch.entity_results
            ],
            "more": _MORE[batch.more_results],
            "skipped": batch.skipped_results,
            "skipped cursor": bool(batch.skipped_cursor),
            "end cursor": bool(batch.end_cursor),
            "transaction": bool(message.transaction),
            "read time": self._read_time(batch.read_time),
        }

    def _runaggregationquery(self, request: Any, message: Any) -> Answer:
        batch = message.batch
        return {
            "results": [
                {alias: self._sum(value) for alias, value in sorted(result.aggregate_properties.items())}
                for result in batch.aggregation_results
            ],
            "more": _MORE[batch.more_results],
            "transaction": bool(message.transaction),
            "read time": self._read_time(batch.read_time),
        }

    def _begintransaction(self, request: Any, message: Any) -> Answer:
        return {"transaction": bool(message.transaction)}

    def _rollback(self, request: Any, message: Any) -> Answer:
        return {}

    def _commit(self, request: Any, message: Any) -> Answer:
        targets = [_target(mutation).SerializeToString(deterministic=True) for mutation in request.mutations]
        answer: Answer = {"results": []}
        for mutation, result in zip(request.mutations, message.mutation_results, strict=True):
            self._name_id(result.key)
            given = self.key(result.key) if result.HasField("key") else None
            target = _target(mutation)
            once = targets.count(target.SerializeToString(deterministic=True)) == 1 or given is not None
            answer["results"].append(
                {
                    "key": given,
                    **(self._written(mutation, result, given or self.key(target)) if once else {}),
                    "conflict": result.conflict_detected,
                    "transforms": [self.value(value) for value in result.transform_results],
                }
            )
        answer["commit time"] = self._read_time(message.commit_time)
        return answer

    def _allocateids(self, request: Any, message: Any) -> Answer:
        for key in message.keys:
            self._name_id(key)
        return {"keys": [self.key(key) for key in message.keys]}

    def _reserveids(self, request: Any, message: Any) -> Answer:
        return {}

    # -- what they are made of

    def _result(self, result: Any) -> Answer:
        return {
            "entity": self._entity(result.entity),
            **self._stamps(result, self.key(result.entity.key)),
        }

    def _entity(self, entity: Any) -> Answer:
        return {
            "key": self.key(entity.key) if entity.HasField("key") else None,
            "properties": {name: self.value(value) for name, value in sorted(entity.properties.items())},
        }

    def _name_id(self, key: Any) -> None:
        if key.path and key.path[-1].id:
            element = key.path[-1]
            self._ids.setdefault((element.kind, element.id), f"id {len(self._ids)}")

    def key(self, key: Any) -> tuple[Any, ...]:
        """A key as its partition, spelt out, and its path."""
        project = "" if key.partition_id.project_id == self._project else key.partition_id.project_id
        parts: list[Any] = [(project, key.partition_id.database_id, key.partition_id.namespace_id)]
        for element in key.path:
            kind = element.WhichOneof("id_type")
            identifier = None if kind is None else getattr(element, kind)
            parts.append((element.kind, self._ids.get((element.kind, identifier), identifier)))
        return tuple(parts)

    def value(self, value: Any) -> Answer:
        """A ``Value`` by its type, so that 1, 1.0 and True differ."""
        kind = value.WhichOneof("value_type")
        shown: Answer = {kind or "nothing": self._content(kind, value)}
        if value.exclude_from_indexes:
            shown["excluded"] = True
        if value.meaning:
            shown["meaning"] = value.meaning
        return shown

    def _sum(self, value: Any) -> Answer:
        """An aggregate: rounded, because the order of additions is not defined."""
        if value.WhichOneof("value_type") == "double_value":
            return {"double_value": f"{value.double_value:.12g}"}
        return self.value(value)

    def _content(self, kind: str | None, value: Any) -> Any:
        match kind:
            case None | "null_value":
                return None
            case "double_value":
                return _number(value.double_value)
            case "timestamp_value":
                stamp = value.timestamp_value
                own = MADE_HERE < stamp.seconds < _END_OF_ALL
                return "the server's" if own else (stamp.seconds, stamp.nanos)
            case "geo_point_value":
                return (_number(value.geo_point_value.latitude), _number(value.geo_point_value.longitude))
            case "key_value":
                return self.key(value.key_value)
            case "entity_value":
                return self._entity(value.entity_value)
            case "array_value":
                return [self.value(element) for element in value.array_value.values]
        return getattr(value, kind)


def _micros(stamp: Any) -> int:
    return int(stamp.seconds) * 1_000_000 + int(stamp.nanos) // 1000


def _target(mutation: Any) -> Any:
    """The key that a mutation is about."""
    operation = mutation.WhichOneof("operation")
    return mutation.delete if operation == "delete" else getattr(mutation, operation).key


def _number(number: float) -> str:
    """A double as text: NaN equals itself, and both zeros differ."""
    return "nan" if math.isnan(number) else repr(number)


def _with_ranks(value: Any, ranks: Mapping[_Ranked, str]) -> Any:
    if isinstance(value, _Ranked):
        return ranks[value]
    if isinstance(value, dict):
        return {key: _with_ranks(inner, ranks) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_ranks(inner, ranks) for inner in value]
    return value
