"""What a mutation expects of the stored entity: the base version or the update time it was made from.

The API reference says what a conflict is; which expectations are refused at once, and in what order faults
are found, is as the vendor's two emulators agree.
"""

from __future__ import annotations

from typing import Any

import grpc

from fantasm_gcp.local.datastore.entity.messages import invalid, micros_of
from fantasm_gcp.local.datastore.storage.store import Stored
from fantasm_gcp.local.rpc import RpcError

# Mutation.ConflictResolutionStrategy. The emulators know 2, too, which the reference has no name for.
_STRATEGIES = range(4)
_FAIL = 3


def base_of(mutation: Any) -> tuple[str, int] | None:
    """What a mutation expects: ``version`` or ``update time``, and its number; 0 means no entity."""
    match mutation.WhichOneof("conflict_detection_strategy"):
        case "base_version":
            return "version", int(mutation.base_version)
        case "update_time":
            if mutation.update_time.nanos % 1000:
                raise invalid("timestamp cannot have more than microseconds precision")
            if mutation.update_time.seconds < 0:
                raise invalid("Only timestamps past epoch are supported.")
            return "update time", micros_of(mutation.update_time)
    return None


def check_base(mutation: Any, operation: str, *, complete: bool) -> None:
    """Raises INVALID_ARGUMENT for an expectation that the operation contradicts, whatever is stored.

    ``complete`` says that the entity has an identifier: one that is to be given one, nobody has seen.
    """
    if mutation.conflict_resolution_strategy not in _STRATEGIES:
        raise invalid("Unknown conflict resolution strategy.")
    base = base_of(mutation)
    if base is None:
        if mutation.conflict_resolution_strategy:
            raise invalid("cannot set a conflict resolution strategy if no detection strategy was set")
        return
    _, wanted = base
    if not complete:
        raise invalid("conflict detection is not allowed for incomplete keys")
    if wanted < 0:
        raise invalid(f"Invalid base_version: {wanted}, it should be >= 0")
    if operation == "insert" and wanted > 0:
        raise invalid("Cannot insert an entity with a base version greater than zero")
    if operation == "update" and wanted == 0:
        raise invalid("Cannot update an entity with a base version set to zero")


def check_bases(first: Any, later: Any) -> None:
    """Raises INVALID_ARGUMENT for two mutations of one entity in one commit that expect different things."""
    if later.conflict_resolution_strategy != first.conflict_resolution_strategy:
        raise invalid("Mutations for the same entity must have the same conflict resolution strategy.")
    if base_of(later) not in (None, base_of(first)):
        raise invalid("Mutations for the same entity must have the same base version.")


def conflicts(mutation: Any, stored: Stored | None) -> bool:
    """Whether the stored entity is not what a mutation expects.

    Raises FAILED_PRECONDITION when the mutation asks for that, INVALID_ARGUMENT when it expects a state that
    is yet to come.
    """
    base = base_of(mutation)
    if base is None:
        return False
    what, wanted = base
    held = 0 if stored is None else stored.version if what == "version" else stored.updated
    if stored is not None and wanted > held:
        raise invalid("Invalid base version, it is greater than the stored version")
    if held != wanted and mutation.conflict_resolution_strategy == _FAIL:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the stored version ({held}) does not match the required base version ({wanted})",
        )
    return held != wanted
