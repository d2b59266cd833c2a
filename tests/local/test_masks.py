"""Property masks: their paths, what they let through when entities are read, and what they replace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from datastore_backends import DatastoreBackend
from datastore_support import Low, where
from google.api_core import exceptions
from google.cloud.datastore_v1 import types

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.entity.masks import check_mask, masked, overlay, split_path
from fantasm_gcp.local.rpc import RpcError

Plain = dict[str, Any]
"""An entity as Python values; a dictionary is an embedded entity."""


def value_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {"entity_value": {"properties": {name: value_of(inner) for name, inner in value.items()}}}
    if isinstance(value, list):
        return {"array_value": {"values": [value_of(element) for element in value]}}
    return {"integer_value": value}


def fields_of(properties: Plain) -> Any:
    return {name: value_of(value) for name, value in properties.items()}


def entity(properties: Plain) -> Any:
    """A raw ``Entity`` with a key."""
    key = {"path": [{"kind": "K", "id": 1}]}
    return types.Entity.pb(types.Entity({"key": key, "properties": fields_of(properties)}))


def plain_of(value: Any) -> Any:
    match value.WhichOneof("value_type"):
        case "entity_value":
            return plain(value.entity_value)
        case "array_value":
            return [plain_of(element) for element in value.array_value.values]
    return value.integer_value


def plain(found: Any) -> Plain:
    """The Python values of a raw ``Entity``."""
    return {name: plain_of(value) for name, value in found.properties.items()}


# -- paths


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a", ("a",)),
        ("_a1.b.c_", ("_a1", "b", "c_")),
        ("`a`", ("a",)),
        ("`a.b`", ("a.b",)),
        ("`a.b`.c.`d e`", ("a.b", "c", "d e")),
        (r"`a\`b\\c\d`", (r"a`b\cd",)),
        ("`é\n`", ("é\n",)),
        (".".join("abcdefghijklmnopqrst"), tuple("abcdefghijklmnopqrst")),
    ],
)
def test_a_path_is_names_between_dots(path: str, names: tuple[str, ...]) -> None:
    """A name in backquotes may hold anything, after a backslash even a backquote."""
    check_mask([path])
    assert names == split_path(path)


MALFORMED = [".", "a.", ".a", "a..b", "`a", "a`", "``", "`a`b", "a`b`", "a.`b", "a``b", "`a``b`", r"`a\`"]
MALFORMED += ["\\", "a\\", "a\\.b", "a b", " a", "a\n", "*", "1a", "é", "$a", "a-b"]


@pytest.mark.parametrize("path", MALFORMED)
def test_a_malformed_path_is_refused(path: str) -> None:
    """Names of other characters must be quoted, and quotes closed."""
    with pytest.raises(RpcError, match="INVALID_ARGUMENT: Invalid property path"):
        check_mask(["a", path])


@pytest.mark.parametrize(
    "path", ["__x__", "a.__x__", "__x__.a", "`__x__`", "__key__.a", "a.__key__", "`__key__`"]
)
def test_a_reserved_name_is_refused(path: str) -> None:
    """Anywhere in a path; only the path ``__key__`` is allowed."""
    check_mask(["__key__", "_a_", "__a"])
    with pytest.raises(RpcError, match=r"INVALID_ARGUMENT: .* is reserved"):
        check_mask([path])


def test_an_empty_path_is_refused() -> None:
    """The empty string is no path; no paths at all are a mask that covers nothing."""
    check_mask([])
    with pytest.raises(RpcError, match="INVALID_ARGUMENT: Invalid empty property path"):
        check_mask([""])


def test_a_path_has_at_most_twenty_names() -> None:
    """As deep as entities may nest."""
    check_mask([".".join("a" * 20)])
    with pytest.raises(RpcError, match="at most 20 elements"):
        check_mask([".".join("a" * 21)])


def test_a_megabyte_of_path_is_judged() -> None:
    """Long hostile paths neither take long nor exhaust the stack, well formed or not."""
    check_mask(["`" + "\\`" * 500_000 + "`"])
    for path in ("`" + "\\`" * 500_000, "a." * 500_000, "`a`." * 250_000 + "a"):
        with pytest.raises(RpcError, match="INVALID_ARGUMENT"):
            check_mask([path])


# -- reading

STORED: Plain = {
    "a": {"x": 1, "y": {"p": 1, "q": 2}},
    "b": 2,
    "c": [{"x": 1}, {"y": 2}],
    "d.e": 4,
    "d": {"e": 5},
}


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        (["a"], {"a": STORED["a"]}),
        (["a.x"], {"a": {"x": 1}}),
        (["a.y.p"], {"a": {"y": {"p": 1}}}),
        (["a.x", "a.y.q"], {"a": {"x": 1, "y": {"q": 2}}}),
        (["a.x", "a"], {"a": STORED["a"]}),
        (["a", "a.x"], {"a": STORED["a"]}),
        (["a.z"], {}),
        (["a.x.z"], {}),
        (["b.x"], {}),
        (["c"], {"c": STORED["c"]}),
        (["c.x"], {}),
        (["d.e"], {"d": {"e": 5}}),
        (["`d.e`"], {"d.e": 4}),
        (["`b`", "b"], {"b": 2}),
        (["nope", "nope.x"], {}),
        (["__key__"], {}),
        ([], {}),
    ],
)
def test_a_mask_keeps_what_it_names(paths: list[str], kept: Plain) -> None:
    """At any depth, not inside arrays; the key is always there and nothing comes of what is missing."""
    found = masked(entity(STORED), paths)
    assert kept == plain(found)
    assert 1 == found.key.path[0].id


def test_an_embedded_entity_keeps_its_flags_but_not_its_key() -> None:
    """A part of an embedded entity is still excluded from indexes, as at the vendor's."""
    whole = entity({"a": {"x": 1, "y": 2}})
    whole.properties["a"].exclude_from_indexes = True
    whole.properties["a"].entity_value.key.path.add(kind="In", id=5)
    part = masked(whole, ["a.x"]).properties["a"]
    assert part.exclude_from_indexes
    assert not part.entity_value.HasField("key")
    assert masked(whole, ["a"]).properties["a"].entity_value.HasField("key")


# -- writing

WRITES: list[tuple[Plain | None, Plain, list[str], Plain]] = [
    ({"a": 1, "b": 2}, {"a": 9, "b": 9, "c": 9}, ["a"], {"a": 9, "b": 2}),
    ({"a": 1, "b": 2}, {}, ["a"], {"b": 2}),
    ({"a": 1}, {"a": 9}, [], {"a": 1}),
    ({"a": 1}, {"a": 9}, ["__key__"], {"a": 1}),
    ({"a": {"x": 1, "y": 2}}, {"a": {"x": 9, "y": 9}}, ["a.x"], {"a": {"x": 9, "y": 2}}),
    ({"a": {"x": 1, "y": 2}}, {}, ["a.x"], {"a": {"y": 2}}),
    ({"a": {"x": 1, "y": 2}}, {"a": {}}, ["a.x"], {"a": {"y": 2}}),
    ({"a": {"x": 1, "y": 2}}, {"a": 7}, ["a.x"], {"a": {"y": 2}}),
    ({"a": {"x": 1}}, {}, ["a.x"], {"a": {}}),
    ({"b": 1}, {"a": {"x": 9, "y": 9}}, ["a.x"], {"b": 1, "a": {"x": 9}}),
    ({"b": 1}, {"a": {"x": {"y": 9, "z": 9}}}, ["a.x.y"], {"b": 1, "a": {"x": {"y": 9}}}),
    ({"b": 1}, {}, ["a.x"], {"b": 1}),
    ({"b": 1}, {"a": {}}, ["a.x"], {"b": 1}),
    ({"a": 5}, {"a": {"x": 9, "y": 9}}, ["a.x"], {"a": {"x": 9}}),
    ({"a": 5}, {"a": 7}, ["a.x"], {"a": 5}),
    ({"a": 5}, {}, ["a.x"], {"a": 5}),
    ({"a": [1, 2]}, {"a": {"x": 9}}, ["a.x"], {"a": {"x": 9}}),
    ({"a": [{"x": 1}]}, {"a": [{"x": 9}]}, ["a.x"], {"a": [{"x": 1}]}),
    ({"a": [{"x": 1}]}, {}, ["a.x"], {"a": [{"x": 1}]}),
    ({"a": {"x": 1, "y": 2}}, {"a": {"x": 9, "z": 9}}, ["a.x", "a"], {"a": {"x": 9, "z": 9}}),
    ({"a": {"x": 1, "y": 2}}, {"a": {"x": 9, "z": 9}}, ["a", "a.x"], {"a": {"x": 9, "z": 9}}),
    ({"a": {"x": {"p": 1, "q": 2}}}, {"a": {"x": {"p": 9}}}, ["a.x.p", "a.x.q"], {"a": {"x": {"p": 9}}}),
    ({"a.x": 1}, {"a.x": 9}, ["a.x"], {"a.x": 1}),
    ({"a.x": 1}, {"a.x": 9}, ["`a.x`"], {"a.x": 9}),
    ({"a.x": 1, "a": {"x": 1}}, {"a.x": 9, "a": {"x": 9}}, ["a.x"], {"a.x": 1, "a": {"x": 9}}),
    ({"a": {"b.c": 1}}, {"a": {"b.c": 9}}, ["a.`b.c`"], {"a": {"b.c": 9}}),
    ({"a`x": 1, "a\\x": 1}, {"a`x": 9, "a\\x": 9}, [r"`a\`x`"], {"a`x": 9, "a\\x": 1}),
    (None, {"a": 9, "b": 8}, ["a"], {"a": 9}),
    (None, {"a": {"x": 9, "y": 9}, "b": 8}, ["a.x", "c"], {"a": {"x": 9}}),
]


@pytest.mark.parametrize(("old", "new", "paths", "expected"), WRITES)
def test_a_mask_limits_what_is_replaced(
    old: Plain | None, new: Plain, paths: list[str], expected: Plain
) -> None:
    """Named properties are taken from the new entity or removed; neither entity is changed by that."""
    before = None if old is None else entity(old)
    change = entity(new)
    result = overlay(before, change, paths)
    assert expected == plain(result)
    assert 1 == result.key.path[0].id
    assert entity(new) == change
    assert old is None or entity(old) == before


def test_a_created_outer_entity_has_the_new_ones_flags() -> None:
    """An existing one keeps its own flags and key."""
    change = entity({"a": {"x": 9}})
    change.properties["a"].exclude_from_indexes = True
    change.properties["a"].entity_value.key.path.add(kind="In", id=5)
    created = overlay(entity({"a": 5}), change, ["a.x"]).properties["a"]
    assert created.exclude_from_indexes
    assert not created.entity_value.HasField("key")
    kept = overlay(change, entity({"a": {"x": 1}}), ["a.x"]).properties["a"]
    assert kept.exclude_from_indexes
    assert kept.entity_value.HasField("key")


# -- through the client


@pytest.fixture
def low() -> Iterator[Low]:
    server = DatastoreServer()
    yield Low(DatastoreBackend("local-inprocess", "", server=server))
    server.close()


def write(low: Low, operation: str, properties: Plain, paths: list[str]) -> None:
    low.commit(
        {
            operation: {"key": low.key("K", 1), "properties": fields_of(properties)},
            "property_mask": {"paths": paths},
        }
    )


def stored(low: Low) -> Plain:
    found = low.lookup(low.key("K", 1)).found[0].entity
    return plain(type(found).pb(found))


def test_a_masked_write_reaches_into_an_embedded_entity(low: Low) -> None:
    """The rest of it stays, and the indexes follow."""
    low.commit({"upsert": {"key": low.key("K", 1), "properties": fields_of({"a": {"x": 1, "y": 2}})}})
    write(low, "update", {"a": {"x": 9}}, ["a.x"])
    assert {"a": {"x": 9, "y": 2}} == stored(low)
    assert 1 == len(low.query("K", filter=where("a.x", "EQUAL", 9)).batch.entity_results)
    assert 0 == len(low.query("K", filter=where("a.x", "EQUAL", 1)).batch.entity_results)


@pytest.mark.parametrize("operation", ["insert", "upsert"])
def test_a_new_entity_has_only_what_its_mask_names(low: Low, operation: str) -> None:
    """A mask says which properties a mutation writes, whether or not there was an entity."""
    write(low, operation, {"a": {"x": 9, "y": 9}, "b": 8}, ["a.x"])
    assert {"a": {"x": 9}} == stored(low)


def test_a_masked_insert_is_given_an_id(low: Low) -> None:
    """An incomplete key is completed as without a mask."""
    made = low.commit(
        {
            "insert": {"key": low.key("K", None), "properties": fields_of({"a": 1, "b": 2})},
            "property_mask": {"paths": ["b"]},
        }
    )
    key = made.mutation_results[0].key
    found = low.lookup(
        {"path": [{"kind": "K", "id": key.path[0].id}], "partition_id": low.key("K", 1)["partition_id"]}
    )
    assert {"b": 2} == plain(type(found.found[0].entity).pb(found.found[0].entity))


def test_an_update_of_nothing_is_not_found(low: Low) -> None:
    """A mask does not turn an update into an upsert."""
    with pytest.raises(exceptions.NotFound):
        write(low, "update", {"a": 1}, ["a"])


def test_a_malformed_mask_writes_nothing(low: Low) -> None:
    """The whole commit is refused."""
    with pytest.raises(exceptions.InvalidArgument, match="Invalid property path"):
        write(low, "upsert", {"a": 1}, ["a", "a b"])
    assert not low.lookup(low.key("K", 1)).found


def test_lookups_and_queries_read_through_nested_masks(low: Low) -> None:
    """Both show the same part."""
    low.commit({"upsert": {"key": low.key("K", 1), "properties": fields_of(STORED)}})
    mask = {"paths": ["a.y.q", "`d.e`", "__key__"]}
    looked_up = low.lookup(low.key("K", 1), property_mask=mask).found[0].entity
    request = {"project_id": "proj", "query": {"kind": [{"name": "K"}]}, "property_mask": mask}
    request["partition_id"] = {"namespace_id": low.namespace}
    queried = low.api.run_query(request=request).batch.entity_results[0].entity
    assert {"a": {"y": {"q": 2}}, "d.e": 4} == plain(type(looked_up).pb(looked_up))
    assert looked_up == queried
