"""Datastore keys, and entities as their keys, across a task boundary and in the arguments of a URL."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import pytest
from google.cloud.datastore import Entity, Key

from fantasm_gcp.core.casts import cast_arguments
from fantasm_gcp.core.codec import TAG, Codec
from fantasm_gcp.errors import MissingDefinitionError, StartError
from fantasm_gcp.gateways.keys import adapters, parse_key, parse_ndb_key

CODEC = Codec(adapters())


def crossed(value):
    return CODEC.decode(CODEC.encode({"v": value}))["v"]


def key(*path, **where):
    return Key(*path, **{"project": "proj", **where})


KEYS = [
    key("Kind", 1),
    key("Kind", "name"),
    key("Kind", 2**63 - 1),
    key("Kind", "é/\x00"),
    key("Kind", "1"),
    key("Parent", 1, "Child", "x", "Grandchild", 3),
    key("Child", 2, parent=key("Parent", "p", namespace="n", database="d")),
    key("Kind", 1, namespace="n"),
    key("Kind", 1, namespace=""),
    key("Kind", 1, database="other"),
    key("Kind", 1, database=""),
    Key("Kind", 1, project="example.com:proj", namespace="n", database="d"),
]


def parts(value):
    return (type(value), value.project, value.database, value.namespace, value.flat_path)


@pytest.mark.parametrize("given", KEYS, ids=repr)
@pytest.mark.fantasm(232)
def test_a_key_comes_back_equal(given):
    """With its project, database, namespace and whole path; in lists and as a dict's key, too."""
    assert parts(given) == parts(crossed(given))
    assert {"a": [given], "b": {given: (given,)}} == crossed({"a": [given], "b": {given: (given,)}})
    assert {given} == crossed({given})
    assert given.parent == crossed(given).parent


@pytest.mark.fantasm(232)
def test_a_work_package_of_keys_and_moments_comes_back():
    """What Fantasm's own test of its work packages holds."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 6)
    context = {
        "key": KEYS[0],
        "keys": [KEYS[0], KEYS[5]],
        "moment": moment,
        "moments": [moment, moment.replace(tzinfo=UTC)],
    }
    assert context == CODEC.decode(CODEC.encode(context))


def test_an_entity_crosses_as_its_key():
    """What is in it is read again where it is needed."""
    entity = Entity(key=KEYS[5])
    entity.update(name="Ada", big="x" * 1000)
    assert parts(KEYS[5]) == parts(crossed(entity))
    assert [KEYS[5]] == crossed([entity])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            Entity(),
            r"^context\['v'\]\[0\] is an entity without a complete key, and an entity crosses as its key",
        ),
        (Entity(key=key("Kind")), "is an entity without a complete key"),
        (key("Kind"), r"^context\['v'\]\[0\] is an incomplete key"),
        (key("Parent", 1, "Child"), "is an incomplete key"),
    ],
    ids=repr,
)
def test_what_has_no_complete_key_is_refused(value, message):
    """It would come back as another one."""
    with pytest.raises(TypeError, match=message):
        CODEC.encode({"v": [value]})


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        "key",
        ["proj", None, None],
        ["proj", None, None, []],
        ["proj", None, None, ["Kind"]],
        ["proj", None, None, "Kind"],
        ["proj", None, None, [1, "Kind"]],
        ["proj", None, None, ["Kind", None]],
        ["proj", None, None, ["Kind", True]],
        ["proj", None, None, ["Kind", 1.5]],
        ["proj", None, 5, ["Kind", 1]],
        ["proj", [], None, ["Kind", 1]],
        ["", None, None, ["Kind", 1]],
        [None, None, None, ["Kind", 1]],
        [5, None, None, ["Kind", 1]],
    ],
    ids=repr,
)
@pytest.mark.parametrize("tag", ["datastore-key", "ndb-key"])
def test_a_payload_that_is_no_key_is_no_context(tag, payload):
    """One kind of error for all of them, with google-cloud-ndb or without."""
    with pytest.raises(ValueError, match="this is no context"):
        CODEC.decode(json.dumps({"v": {TAG: [tag, payload]}}).encode())


@pytest.mark.parametrize("given", [KEYS[0], KEYS[1], KEYS[5], KEYS[7]], ids=repr)
@pytest.mark.fantasm(205)
def test_the_text_of_a_key_in_a_url_is_read(given):
    """As the client writes it, and as App Engine did, with the location before its project."""
    assert given == parse_key(given.to_legacy_urlsafe().decode())
    assert given == parse_key(given.to_legacy_urlsafe(location_prefix="s~").decode())


@pytest.mark.parametrize(
    "text",
    ["", "x", "Kind:1", "b'agRwcm9q'", "agRwcm9q", "é", "ag Rw", "agRwcm9qcgoLEgRLaW5kGAEM\n", "=" * 8],
)
def test_text_that_is_no_key_is_refused(text):
    """Also where a base64 reader would overlook what does not belong there."""
    with pytest.raises(ValueError, match=r"it is no text of a key, as key\.to_legacy_urlsafe"):
        parse_key(text)
    with pytest.raises(StartError, match=r"^argument 'k': .* is no key \(it is no text of a key"):
        cast_arguments({"k": text}, {"k": parse_key})


def test_every_cut_of_a_keys_text_is_refused():
    """A text that was cut off names no other key."""
    text = key("Parent", 1, "Child", "some name").to_legacy_urlsafe().decode()
    for end in range(len(text)):
        with pytest.raises(ValueError, match="it is"):
            parse_key(text[:end])


def test_the_text_of_an_incomplete_key_is_refused():
    """No step could read its entity."""
    with pytest.raises(ValueError, match="incomplete key"):
        parse_key(key("Parent", 1, "Child").to_legacy_urlsafe().decode())


@pytest.fixture
def ndb():
    return pytest.importorskip("google.cloud.ndb")


def ndb_key(ndb, *path, project="proj", database=None, namespace=None):
    return ndb.Key(*path, project=project, database=database, namespace=namespace)


def test_a_key_of_ndb_comes_back_as_one(ndb):
    """Without a context of ndb: the engine reads contexts where there is none."""
    for given in (
        ndb_key(ndb, "Kind", 1),
        ndb_key(ndb, "Parent", "p", "Child", 2, namespace="n"),
        ndb_key(ndb, "Kind", "é", project="other", database="d", namespace="n"),
    ):
        restored = crossed([given, {given: 1}])
        assert restored[0] == given
        assert given in restored[1]
        assert type(given) is type(restored[0])
        assert (given.project(), given.database(), given.namespace(), given.flat()) == (
            restored[0].project(),
            restored[0].database(),
            restored[0].namespace(),
            restored[0].flat(),
        )


def test_a_model_of_ndb_crosses_as_its_key(ndb):
    """A property of it may be called key."""

    class Named(ndb.Model):
        key = ndb.StringProperty()
        name = ndb.StringProperty()

    class Sub(Named):
        pass

    for model in (Named, Sub):
        given = model(_key=ndb_key(ndb, model.__name__, 5, namespace="n"), key="x", name="Ada")
        assert ndb_key(ndb, model.__name__, 5, namespace="n") == crossed(given)


def test_ndb_values_without_a_complete_key_are_refused(ndb):
    """An incomplete key would be completed anew by every step."""

    class Thing(ndb.Model):
        pass

    with pytest.raises(TypeError, match=r"^context\['v'\] is an incomplete key; put its model first"):
        crossed(ndb_key(ndb, "Kind", None))
    for model in (Thing(), Thing(key=ndb_key(ndb, "Thing", None))):
        with pytest.raises(TypeError, match=r"^context\['v'\] is a model without a complete key"):
            crossed(model)


@pytest.mark.fantasm(205)
def test_the_text_of_an_ndb_key_in_a_url_is_read(ndb):
    """As ``key.urlsafe()`` writes it, here and on App Engine."""
    given = ndb_key(ndb, "Parent", "p", "Child", 2, namespace="n")
    assert given == parse_ndb_key(given.urlsafe().decode())
    assert given == parse_ndb_key(given.to_legacy_urlsafe("s~").decode())
    assert type(given) is type(parse_ndb_key(given.urlsafe().decode()))
    with pytest.raises(ValueError, match="it is no text of a key"):
        parse_ndb_key("x")


def test_without_ndb_its_keys_are_a_missing_definition(monkeypatch):
    """Another deployment may have the package; the message says how to install it."""
    monkeypatch.setitem(sys.modules, "google.cloud.ndb", None)
    encoded = json.dumps({"v": {TAG: ["ndb-key", ["proj", None, None, ["Kind", 1]]]}}).encode()
    with pytest.raises(MissingDefinitionError, match=r"needs the package google-cloud-ndb: pip install"):
        CODEC.decode(encoded)
    with pytest.raises(ImportError, match="google-cloud-ndb"):
        parse_ndb_key(KEYS[0].to_legacy_urlsafe().decode())


def test_using_keys_does_not_import_ndb():
    """It costs a third of a second, and most applications have not installed it."""
    import subprocess

    code = (
        "import sys; from google.cloud.datastore import Key; from fantasm_gcp.core.codec import Codec; "
        "from fantasm_gcp.gateways.keys import adapters; codec = Codec(adapters()); "
        "codec.decode(codec.encode({'k': Key('K', 1, project='p')})); print('google.cloud.ndb' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == result.stdout.strip()
