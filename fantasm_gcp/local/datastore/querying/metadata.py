"""Metadata: entities that tell which namespaces, kinds and properties there are.

They are made of what the indexes hold at the moment that the query shows, see ``catalog``: a namespace, kind
or property is there as long as an entity is, a property only if it is indexed. Every namespace shows all
namespaces of its database, and its own kinds and properties. Source:
https://cloud.google.com/datastore/docs/concepts/metadataqueries (retrieved 2026-11), and gcloud's Datastore
emulator, which refuses the same filters and orders; it refuses a projection of ``property_representation``
too, which is served here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fantasm_gcp.local.datastore.entity.keys import Partition, encode_path, fill_key
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.messages import Entity, Key, invalid
from fantasm_gcp.local.datastore.entity.values import BOOLEAN, BYTES, DOUBLE, FIXED, GEO, KEY, NULL
from fantasm_gcp.local.datastore.querying.catalog import Catalog
from fantasm_gcp.local.datastore.querying.filters import COMPARISONS, HAS_ANCESTOR

NAMESPACES, KINDS, PROPERTIES = "__namespace__", "__kind__", "__property__"
METADATA_KINDS = frozenset({NAMESPACES, KINDS, PROPERTIES})

REPRESENTATION = "property_representation"
EMPTY_NAMESPACE_ID = 1
"""The id of the key that stands for the namespace without a name."""

_KEYS_ONLY = "Only comparison filters on __key__ supported"  # the emulator says so of projections, too
_DESCENDING = 2  # PropertyOrder.Direction.DESCENDING

# In the order of the alphabet, as the emulator lists them; dates are integers and blobs strings in an index.
_REPRESENTATIONS = (
    ("BOOLEAN", BOOLEAN),
    ("DOUBLE", DOUBLE),
    ("INT64", FIXED),
    ("NULL", NULL),
    ("POINT", GEO),
    ("REFERENCE", KEY),
    ("STRING", BYTES),
)


def check_metadata_query(query: Any, kind: str) -> None:
    """Raises INVALID_ARGUMENT for a ``Query`` message over a metadata kind that does not keep to its key."""
    if any(order.property.name != KEY_NAME or order.direction == _DESCENDING for order in query.order):
        raise invalid("Only ascending order on __key__ supported")
    shown = {KEY_NAME, REPRESENTATION} if kind == PROPERTIES else {KEY_NAME}
    named = {projected.property.name for projected in query.projection}
    named |= {reference.name for reference in query.distinct_on}
    if not named <= shown:
        raise invalid(_KEYS_ONLY)
    for node in _property_filters(query.filter) if query.HasField("filter") else ():
        allowed = COMPARISONS | ({HAS_ANCESTOR} if kind == PROPERTIES else set())
        if node.property.name != KEY_NAME or node.op not in allowed:
            raise invalid(_KEYS_ONLY)
        if not _names_metadata(kind, node.value.key_value.path):
            raise invalid(f"Key filter on {kind} is invalid (must be a named key for {kind})")


def _property_filters(node: Any) -> Iterator[Any]:
    if node.WhichOneof("filter_type") == "property_filter":
        yield node.property_filter
    for part in node.composite_filter.filters:
        yield from _property_filters(part)


def _names_metadata(kind: str, path: Any) -> bool:
    """Whether a path is one of a kind's entities, or of the kind that properties belong to."""
    kinds = [element.kind for element in path]
    return kinds == ([KINDS, PROPERTIES][: len(kinds)] if kind == PROPERTIES else [kind])


def metadata_paths(catalog: Catalog, kind: str) -> Iterator[bytes]:
    """The encoded key paths of the entities of a metadata kind, in no particular order."""
    if kind == NAMESPACES:
        for name in catalog.namespaces():
            yield _path((NAMESPACES, name))
        return
    for name in catalog.kinds():
        if kind == KINDS:
            yield _path((KINDS, name))
        else:
            for property_ in catalog.properties(name):
                yield _path((KINDS, name), (PROPERTIES, property_))


def metadata_entity(catalog: Catalog, partition: Partition, path: bytes) -> Any:
    """The entity that a query of metadata shows for a path that :func:`metadata_paths` gave."""
    entity = Entity()
    fill_key(entity.key, partition, path)
    if len(entity.key.path) == 2:
        kind, property_ = (element.name for element in entity.key.path)
        values = entity.properties[REPRESENTATION].array_value.values
        for name, tag in _REPRESENTATIONS:
            if catalog.has_values(kind, property_, tag):
                values.add(string_value=name)
    return entity


def _path(*elements: tuple[str, str]) -> bytes:
    key = Key()
    for kind, name in elements:
        if name:
            key.path.add(kind=kind, name=name)
        else:
            key.path.add(kind=kind, id=EMPTY_NAMESPACE_ID)
    return encode_path(key.path)
