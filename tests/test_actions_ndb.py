"""Continuations through queries of google-cloud-ndb, which is an optional package."""

from __future__ import annotations

import sys

import pytest
from action_pages import context_of, pages_of, retried
from datastore_backends import DatastoreBackend

from fantasm_gcp.action import DatastoreContinuationFSMAction, NDBDatastoreContinuationFSMAction
from fantasm_gcp.core.context import StepObject


class Reading(NDBDatastoreContinuationFSMAction):
    """Works through what ``query`` makes."""

    def __init__(self, query, size=1, keys_only=False):
        self.query, self.size, self.only = query, size, keys_only

    def getQuery(self, context, obj):  # noqa: N802  Fantasm's names
        return self.query()

    def getBatchSize(self, context, obj):  # noqa: N802
        return self.size

    def getKeysOnly(self, context, obj):  # noqa: N802
        return self.only

    def execute(self, context, obj):
        return "ok"


over_a_socket = pytest.mark.parametrize("datastore_backend", ["local-wire", "gcloud"], indirect=True)
"""ndb cannot be given a channel that needs none."""


@pytest.fixture
def ndb():
    return pytest.importorskip("google.cloud.ndb")


@pytest.fixture
def ndb_context(ndb, datastore_backend: DatastoreBackend):
    """A context of ndb, in the test's namespace."""
    client = ndb.Client(project=datastore_backend.project, namespace=datastore_backend.namespace)
    with client.context():
        yield client


@pytest.fixture
def model(ndb, ndb_context):
    class Subscriber(ndb.Model):
        n = ndb.IntegerProperty()

    yield Subscriber
    ndb.delete_multi(Subscriber.query().fetch(keys_only=True))


def put(ndb, model, numbers):
    ndb.put_multi([model(id=f"s{n}", n=n) for n in numbers])


def reading(model, size, **kwargs):
    return Reading(lambda: model.query().order(model.n), size, **kwargs)


@over_a_socket
@pytest.mark.parametrize(("size", "pages"), [(1, 10), (2, 5), (3, 4), (10, 1), (11, 1)])
@pytest.mark.fantasm(160, 162, 170)
def test_every_model_is_on_one_page_and_none_is_empty(ndb, model, size, pages):
    """Ten of them, with and without a page that is not full."""
    put(ndb, model, range(10))
    found = pages_of(reading(model, size), context_of())
    assert pages == len(found)
    assert list(range(10)) == [each.n for obj in found for each in obj.results]
    for obj in found:
        assert obj["result"] is obj.result is obj.results[0]


@over_a_socket
def test_a_query_without_results_has_one_empty_page(model):
    """The action runs once and finds None."""
    (page,) = pages_of(reading(model, 3), context_of())
    assert ([], None) == (page.results, page.result)


@over_a_socket
def test_keys_only(ndb, model):
    """The results are keys of ndb."""
    put(ndb, model, range(3))
    found = pages_of(reading(model, 2, keys_only=True), context_of())
    assert [ndb.Key("Subscriber", f"s{n}") for n in range(3)] == [key for obj in found for key in obj.results]


@over_a_socket
def test_a_retried_page_ends_where_the_next_one_begins(ndb, model):
    """However many models lie before that by now."""
    put(ndb, model, [10, 20, 30, 40])
    until = reading(model, 2).continuation(context_of(), StepObject())
    put(ndb, model, [5, 15, 25])
    for size in (1, 2, 100):
        assert [5, 10, 15, 20] == [
            each.n for each in retried(reading(model, size), context_of(), None, until).results
        ]
    ndb.delete_multi([ndb.Key("Subscriber", f"s{n}") for n in (5, 10, 15, 20)])
    empty = retried(reading(model, 2), context_of(), None, until)
    assert ([], None) == (empty.results, empty.result)
    after = StepObject()
    reading(model, 2, keys_only=True).continuation(context_of(), after, until)
    assert ["s25", "s30"] == [key.id() for key in after.results]


@over_a_socket
def test_a_retried_page_of_several_batches_ends_there_too(ndb, model):
    """Datastore answers so many models in batches."""
    for begin in (0, 350):
        put(ndb, model, range(begin, begin + 350))
    until = reading(model, 650, keys_only=True).continuation(context_of(), StepObject())
    page = retried(reading(model, 10, keys_only=True), context_of(), None, until)
    assert [f"s{n}" for n in range(650)] == [key.id() for key in page.results]


@over_a_socket
def test_a_deadline_and_a_read_policy_may_be_given(ndb, model):
    """Under Fantasm's names for them."""
    put(ndb, model, range(3))

    class Patient(Reading):
        def getDeadline(self, context, obj):  # noqa: N802
            return 20

        def getReadPolicy(self, context, obj):  # noqa: N802
            return ndb.EVENTUAL_CONSISTENCY

    assert [[0, 1], [2]] == [
        [each.n for each in obj.results]
        for obj in pages_of(Patient(lambda: model.query().order(model.n), 2), context_of())
    ]


@over_a_socket
def test_a_query_of_the_other_client_is_refused(ndb, model, datastore_backend):
    """In both directions, with the base class that it needs."""
    with pytest.raises(
        TypeError, match=r"get_query of Reading returned a Query; it returns a query of google.cloud.ndb"
    ):
        Reading(lambda: datastore_backend.client().query(kind="Subscriber")).continuation(
            context_of(), StepObject()
        )

    class Wrong(DatastoreContinuationFSMAction):
        def get_query(self, context, obj):
            return model.query()

        def execute(self, context, obj):
            return None

    with pytest.raises(TypeError, match="a query of ndb is one for NDBDatastoreContinuationFSMAction"):
        Wrong().continuation(context_of(), StepObject())


def test_without_a_context_of_ndb_the_error_says_what_makes_one(ndb):
    """Before the user's method is called: that would fail with less of an explanation."""
    with pytest.raises(RuntimeError, match=r"Reading needs a context of ndb: let a WSGI middleware"):
        Reading(lambda: pytest.fail("not to be called")).continuation(context_of(), StepObject())


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    """The class itself is there: fsm.yaml may name it."""
    monkeypatch.setitem(sys.modules, "google.cloud.ndb", None)
    with pytest.raises(
        RuntimeError, match=r"Reading needs the package google-cloud-ndb: pip install 'fantasm-gcp\[ndb\]'"
    ):
        Reading(lambda: None).continuation(context_of(), StepObject())
