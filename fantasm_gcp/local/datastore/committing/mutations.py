"""The mutations of a commit: what each must be, and which may stand together, whatever is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from fantasm_gcp.local.datastore.committing.bases import check_base, check_bases
from fantasm_gcp.local.datastore.entity.entities import check_entity
from fantasm_gcp.local.datastore.entity.keys import (
    Partition,
    check_path,
    encode_path,
    fill_partition,
    resolve_partition,
)
from fantasm_gcp.local.datastore.entity.masks import check_mask
from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.entity.transforms import check_count, check_transforms

_FORBIDDEN_SEQUENCES = frozenset(
    {("insert", "insert"), ("update", "insert"), ("upsert", "insert"), ("delete", "update")}
)


class Prepared(NamedTuple):
    """A mutation that is well formed: ``path`` is the encoded key, ``None`` while the key is incomplete.

    ``transforms`` is how many property transforms it counts as.
    """

    operation: str
    mutation: Any
    key: Any
    partition: Partition
    kind: str
    path: bytes | None
    transforms: int


def prepare(mutation: Any, project: str, database: str) -> Prepared:
    """Checks a mutation of a request and brings its entity into the form it is stored in.

    Raises INVALID_ARGUMENT for anything malformed, whatever the store holds.
    """
    operation = mutation.WhichOneof("operation")
    if operation is None:
        raise invalid("Mutation is missing operation.")
    target = getattr(mutation, operation)
    if operation != "delete" and not target.HasField("key"):
        raise invalid("Entity is missing key.")
    key = target if operation == "delete" else target.key
    check_path(key, complete=None if operation in ("insert", "upsert") else True, for_write=True)
    complete = key.path[-1].WhichOneof("id_type") is not None
    check_base(mutation, operation, complete=complete)
    partition = resolve_partition(key.partition_id, project, database, for_write=True)
    fill_partition(key.partition_id, partition)
    check_mask(mutation.property_mask.paths)  # of a delete, too, which ignores it otherwise
    transforms = 0
    if operation != "delete":
        check_entity(target, partition)
        transforms = check_transforms(mutation.property_transforms, partition)
    elif mutation.property_transforms:
        raise invalid("Delete mutation cannot have PropertyTransforms.")
    path = encode_path(key.path) if complete else None
    return Prepared(operation, mutation, key, partition, key.path[-1].kind, path, transforms)


def check_sequence(prepared: Collection[Prepared], *, transactional: bool) -> None:
    """Raises INVALID_ARGUMENT for mutations of one entity that cannot stand in one commit."""
    if len(prepared) < 2:
        return
    firsts: dict[tuple[Partition, bytes], Prepared] = {}
    before: dict[tuple[Partition, bytes], str] = {}
    transforms: Counter[tuple[Partition, bytes]] = Counter()
    for item in prepared:
        if item.path is None:
            continue
        name = (item.partition, item.path)
        first = firsts.setdefault(name, item)
        if first is item:
            continue
        if not transactional:
            raise invalid(
                "A non-transactional commit may not contain multiple mutations affecting the same entity."
            )
        earlier = before.get(name, first.operation)
        if (earlier, item.operation) in _FORBIDDEN_SEQUENCES:
            raise invalid(f"Cannot {earlier} then {item.operation} an entity in the same request.")
        before[name] = item.operation
        check_bases(first.mutation, item.mutation)
        transforms[name] += item.transforms
        check_count(first.transforms + transforms[name])
