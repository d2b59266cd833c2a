"""Generated mutations and commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from differential.operations import Earlier, Operation
from differential.palette import array, text
from differential.situation import PROPERTIES, Situation

SERVER_VALUE, FAIL = "SERVER_VALUE", "FAIL"
_OPERATIONS = ("upsert", "upsert", "upsert", "insert", "update", "delete")


def mutations(situation: Situation, before: Sequence[Operation]) -> list[dict[str, Any]]:
    """The mutations of one commit; ``before`` are the operations before it."""
    chance = situation.chance
    made: list[dict[str, Any]] = []
    keys: list[Any] = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        one = _mutation(situation, before)
        key = target(one)
        if key in keys:
            if not situation.may("repeated mutations", 0.3):
                continue
            made = [_without_base(mutation) for mutation in made]
            one = _without_base(one)
        keys.append(key)
        made.append(one)
    return made


def _without_base(mutation: dict[str, Any]) -> dict[str, Any]:
    """A mutation that expects nothing: what several expectations of one entity mean no reference says."""
    expectations = ("base_version", "update_time", "conflict_resolution_strategy")
    return {name: value for name, value in mutation.items() if name not in expectations}


def first_entities(situation: Situation) -> list[dict[str, Any]]:
    """Entities for queries to find."""
    keys: list[Any] = []
    for _ in range(situation.chance.randint(3, 9)):
        key = situation.key()
        if key not in keys:
            keys.append(key)
    return [{"upsert": {"key": key, "properties": situation.properties()}} for key in keys]


def _mutation(situation: Situation, before: Sequence[Operation]) -> dict[str, Any]:
    chance = situation.chance
    operation = chance.choice(_OPERATIONS)
    if situation.may("incomplete keys", 0.06):
        return {chance.choice(("insert", "upsert")): _incomplete(situation)}
    if operation == "delete":
        made: dict[str, Any] = {"delete": situation.key()}
    else:
        made = {operation: {"key": situation.key(), "properties": situation.properties()}}
        if situation.may("masks of writes", 0.15):
            made["property_mask"] = {"paths": chance.sample(("p", "q", "r", "n"), chance.randint(0, 3))}
        if situation.may("transforms", 0.15):
            transforms = [_transform(situation) for _ in range(chance.randint(1, 2))]
            if not situation.may("transforms of unindexed values"):
                transforms = [each for each in transforms if each["property"] not in PROPERTIES]
            made["property_transforms"] = transforms
    _add_base(situation, made, before)
    return made


def _incomplete(situation: Situation) -> dict[str, Any]:
    """An entity that gets an id: in a kind and namespace of its own, for ids sort as they fall."""
    key = {"partition_id": situation.partition("given"), "path": [{"kind": "Given"}]}
    return {"key": key, "properties": situation.properties()}


def _add_base(situation: Situation, made: dict[str, Any], before: Sequence[Operation]) -> None:
    """Says which state of the entity is expected: its own of earlier, another one, or none."""
    chance = situation.chance
    key = target(made)
    earlier = [
        (mutation, Earlier("version", each.number, place))
        for each in before
        if each.method == "Commit"
        for place, mutation in enumerate(each.fields["mutations"])
        if target(mutation) == key
    ]
    if any("delete" in mutation for mutation, _ in earlier) and not situation.may(
        "bases of deleted entities"
    ):
        return
    seen = [base for _, base in earlier]
    if not situation.may("base versions", 0.5 if seen else 0.04):
        return
    base = chance.choice(seen) if seen and chance.random() < 0.85 else None
    if base is not None and situation.may("update times", 0.3):
        made["update_time"] = Earlier("update_time", base.number, base.place)
    else:
        made["base_version"] = 0 if base is None else base
    if situation.may("bases that only report", 0.5):
        if chance.random() < 0.5:
            made["conflict_resolution_strategy"] = SERVER_VALUE
    else:
        made["conflict_resolution_strategy"] = FAIL


def target(mutation: dict[str, Any]) -> Any:
    """The key a mutation is about."""
    for operation in ("insert", "update", "upsert"):
        if operation in mutation:
            return mutation[operation].get("key")
    return mutation.get("delete")


def _transform(situation: Situation) -> dict[str, Any]:
    chance = situation.chance
    roll = chance.randint(0, 5)
    if roll == 0:
        return {"property": "stamp", "set_to_server_value": "REQUEST_TIME"}
    if roll in (1, 2):
        operator = chance.choice(("increment", "maximum", "minimum"))
        name = chance.choice(("n", "n", "n", *PROPERTIES))
        return {"property": name, operator: situation.palette.number()}
    operator = chance.choice(("append_missing_elements", "remove_all_from_array"))
    elements = [situation.palette.scalar() for _ in range(chance.randint(0, 2))]
    name = chance.choice(PROPERTIES) if situation.may("sorted arrays", 0.6) else "t"
    return {"property": name, operator: {"values": elements}}


def malformed(situation: Situation) -> dict[str, Any]:
    """A mutation that is refused whatever is stored."""
    key, properties = situation.key(), situation.properties()
    roll = situation.chance.randint(0, 11)
    if roll == 0:
        return {"upsert": {"key": {"partition_id": situation.partition(), "path": []}}}
    if roll == 1:
        return {"upsert": {"key": key, "properties": {"": text("")}}}
    if roll == 2:
        return {"upsert": {"key": key, "properties": {"__x__": text("")}}}
    if roll == 3:
        return {"upsert": {"key": key, "properties": {"p": array(array(text("a")))}}}
    if roll == 4:
        return {"update": {"key": {**key, "path": [{"kind": "K"}]}, "properties": properties}}
    if roll == 5:
        return {"upsert": {"key": {**key, "path": [{"kind": "", "name": "a"}]}}}
    if roll == 6:
        return {"upsert": {"key": {**key, "path": [{"kind": "K"}, {"kind": "K", "id": 1}]}}}
    if roll == 7:
        return {"upsert": {"key": {**key, "path": [{"kind": "__K__", "id": 1}]}}}
    if roll == 8:
        return {"upsert": {"key": {**key, "path": [{"kind": "K", "name": "__n__"}]}}}
    if roll == 9:
        return {"delete": {**key, "path": [{"kind": "K"}]}}
    if roll == 10:
        return {"upsert": {"key": {**key, "path": [{"kind": "K", "name": ""}]}}}
    return {"upsert": {"key": key, "properties": {"p": {"exclude_from_indexes": False}}}}


def too_big(situation: Situation) -> dict[str, Any]:
    """A mutation at a limit, on one of its sides."""
    key, roll = situation.key(), situation.chance.randint(0, 4)
    more = situation.chance.randint(0, 1)
    if roll == 0:
        return {"upsert": {"key": key, "properties": {"p": text("x" * (1500 + more))}}}
    if roll == 1:
        return {"upsert": {"key": key, "properties": {"p": {"blob_value": b"x" * (1500 + more)}}}}
    if roll == 2:
        return {"upsert": {"key": {**key, "path": [{"kind": "K", "name": "n" * (1500 + more)}]}}}
    if roll == 3:
        return {"upsert": {"key": {**key, "path": [{"kind": "k" * (1500 + more), "id": 1}]}}}
    return {"upsert": {"key": key, "properties": {"p" * (1500 + more): text("x")}}}
