"""Whether an index serves a query, and the index that would.

The rules are those of the documentation of indexes and of the vendor's SDK for App Engine, which gcloud's
Datastore emulator follows: https://cloud.google.com/datastore/docs/concepts/indexes (retrieved 2026-11).
Built-in indexes serve queries by key, equalities (with an ancestor, if any) whose indexes are merged, and
one inequality, order or projected property alone. Everything else needs an index of its kind whose last
properties are those it sorts by, in that order, and whose first ones are of its equalities; several such with
the same last properties are merged. Where the order of properties is free, so is their direction.

Every alternative of a filter needs an index. Aggregated properties count as projected ones: an entity that
lacks one is not counted.

A search for the nearest vectors needs one index that has the vectors, of as many dimensions, and everything
else that the query names, its equalities and its ancestor too: for none of those do built-in ones serve, and
nothing is merged. Source: "Search with vector embeddings" in the documentation of Firestore; for index.yaml,
gcloud, which makes the same indexes of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import grpc

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore.entity.keys import is_reserved
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.querying.filters import Conjunction
from fantasm_gcp.local.datastore.querying.query import Order, Query
from fantasm_gcp.local.rpc import RpcError

_PLAIN = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Needed:
    """What an index must hold for one alternative of a query.

    ``equal`` are the properties that stand first, in any order and direction; ``ordered`` follow as they
    are, then each set of ``free`` in turn, its properties in any order and direction.
    """

    kind: str
    ancestor: bool
    equal: frozenset[str]
    ordered: tuple[Order, ...]
    free: tuple[frozenset[str], ...]

    def prefix(self, index: CompositeIndex) -> frozenset[str] | None:
        """The equalities that an index takes part in; ``None`` when it does not end as it must."""
        at = len(index.properties)
        for group in reversed(self.free):
            if {name for name, _ in index.properties[max(at - len(group), 0) : at]} != group:
                return None
            at -= len(group)
        start = at - len(self.ordered)
        if start < 0 or index.properties[start:at] != self.ordered:
            return None
        names = frozenset(name for name, _ in index.properties[:start])
        return names if names <= self.equal else None

    def recommended(self) -> CompositeIndex:
        """The index that serves this alone."""
        properties = [(name, False) for name in sorted(self.equal)]
        properties += self.ordered
        properties += [(name, False) for group in self.free for name in sorted(group)]
        return CompositeIndex(self.kind, tuple(properties), self.ancestor)


def require_index(indexes: Iterable[CompositeIndex], query: Query, aggregated: Iterable[str] = ()) -> None:
    """Raises FAILED_PRECONDITION, as production does, unless built-in and declared indexes serve a query.

    ``aggregated`` are the properties that are added up over its results.
    """
    if not query.kind or is_reserved(query.kind):
        return
    vector = None if query.nearest is None else (query.nearest.name, len(query.nearest.vector))
    usable = [index for index in indexes if index.kind == query.kind and index.vector == vector]
    added = tuple(aggregated)
    for part in query.alternatives:
        needed, built_in = _needed(query, part, added)
        served = built_in or _is_served(needed, usable) if vector is None else _has_all(needed, usable)
        if not served:
            wanted = replace(needed.recommended(), vector=vector)
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"no matching index found. recommended index is:\n{stanza(wanted)}",
            )


def needed_index(query: Query, part: Conjunction, aggregated: tuple[str, ...] = ()) -> Needed | None:
    """What a composite index must hold for one alternative; ``None`` when built-in indexes serve it."""
    needed, built_in = _needed(query, part, aggregated)
    return None if built_in else needed


def _needed(query: Query, part: Conjunction, aggregated: tuple[str, ...]) -> tuple[Needed, bool]:
    """What one index must hold for all of an alternative, and whether built-in ones serve it."""
    equal = set(part.fixed())
    # A range in one alternative sorts the results of all of them.
    ranged = {name for each in query.alternatives for name in each.ranges} - equal | set(part.ranges)
    orders = [] if part.names_one_key else [order for order in query.asked if order[0] not in equal]
    sorted_by = {name for name, _ in orders}
    shown = {name for name in (*query.exploded, *aggregated) if name not in ranged | equal | sorted_by}
    if not shown and orders and orders[-1] == (KEY_NAME, False):
        orders.pop()  # every index sorts by key in the end
    by_key_descending = (KEY_NAME, True) in orders
    if part.compares_key and (ranged or shown or by_key_descending):
        (equal if part.names_one_key else ranged).add(KEY_NAME)
    bounded = ranged - {name for name, _ in orders}
    single = len(equal) + len(orders) + len(bounded) + len(shown) <= 1
    built_in = not (ranged or shown or orders) or (single and part.ancestor is None and not by_key_descending)
    grouped = shown & set(query.distinct)
    free = tuple(frozenset(group) for group in (bounded, grouped, shown - grouped) if group)
    needed = Needed(query.kind, part.ancestor is not None, frozenset(equal), tuple(orders), free)
    return needed, built_in


def _has_all(needed: Needed, indexes: Iterable[CompositeIndex]) -> bool:
    """Whether one index alone has everything, and nothing else that would leave entities out."""
    return any(
        needed.prefix(index) == needed.equal and index.ancestor == needed.ancestor for index in indexes
    )


def _is_served(needed: Needed, indexes: Iterable[CompositeIndex]) -> bool:
    """Whether one index, or several that end alike, take part in all equalities and the ancestor."""
    missing: dict[tuple[Order, ...], tuple[frozenset[str], bool]] = {}
    for index in indexes:
        prefix = needed.prefix(index)
        if prefix is None or (index.ancestor and not needed.ancestor):
            continue
        ending = index.properties[len(prefix) :]
        equal, ancestor = missing.get(ending, (needed.equal, needed.ancestor))
        missing[ending] = (equal - prefix, ancestor and not index.ancestor)
        if missing[ending] == (frozenset(), False):
            return True
    return False


def stanza(index: CompositeIndex) -> str:
    """The lines of index.yaml that declare an index."""
    lines = [f"- kind: {_scalar(index.kind)}", *(["  ancestor: yes"] if index.ancestor else ())]
    lines.append("  properties:")
    for name, descending in index.properties:
        lines += [f"  - name: {_scalar(name)}", *(["    direction: desc"] if descending else ())]
    if index.vector is not None:
        name, dimension = index.vector
        lines += [f"  - name: {_scalar(name)}", "    vectorConfig:"]
        lines += [f"      dimension: {dimension}", "      flat: {}"]
    return "".join(f"{line}\n" for line in lines)


def _scalar(text: str) -> str:
    """Text as YAML reads it back; quoted only where it must be, as names of properties hardly ever must."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)
