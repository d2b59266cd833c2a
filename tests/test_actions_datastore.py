"""Continuations through Datastore queries, and the classes that Fantasm's tutorial and its users print."""

from __future__ import annotations

import textwrap

import pytest
from action_pages import context_of, pages_of, retried
from datastore_backends import DatastoreBackend
from google.cloud import datastore

from fantasm_gcp.action import DatastoreContinuationFSMAction
from fantasm_gcp.core.context import StepObject


class Subscribers(DatastoreContinuationFSMAction):
    def __init__(self, size=1, keys_only=False):
        self.size, self.only = size, keys_only

    def getQuery(self, context, obj):  # noqa: N802  Fantasm's names
        query = context.datastore.query(kind="Subscriber")
        query.order = ["n"]
        return query

    def getBatchSize(self, context, obj):  # noqa: N802
        return self.size

    def getKeysOnly(self, context, obj):  # noqa: N802
        return self.only

    def execute(self, context, obj):
        return "ok"


def put(client, numbers):
    entities = []
    for n in numbers:
        entities.append(datastore.Entity(client.key("Subscriber", f"s{n}")))
        entities[-1]["n"] = n
    for i in range(0, len(entities), 500):
        client.put_multi(entities[i : i + 500])


@pytest.fixture
def client(datastore_backend: DatastoreBackend):
    client = datastore_backend.client()
    yield client
    client.delete_multi([each.key for each in client.query(kind="Subscriber").fetch()])


def numbers_on(pages):
    return [[each["n"] for each in obj.results] for obj in pages]


@pytest.mark.parametrize(("size", "sizes"), [(1, 11), (2, 6), (3, 4), (10, 2), (11, 1)])
@pytest.mark.fantasm(159, 162, 170, 171)
def test_every_entity_is_on_one_page(client, size, sizes):
    """Ten of them; where their number is a multiple of the batch size, the last page is empty."""
    put(client, range(10))
    pages = pages_of(Subscribers(size), context_of(lambda: client))
    assert sizes == len(pages)
    assert list(range(10)) == [n for page in numbers_on(pages) for n in page]
    assert (10 % size == 0) == (pages[-1].results == [])
    for obj in pages:
        assert obj["result"] == obj.result == (obj.results[0] if obj.results else None)


def test_a_query_without_results_has_one_empty_page(client):
    """The action runs once and finds None."""
    (page,) = pages_of(Subscribers(3), context_of(lambda: client))
    assert ([], None) == (page.results, page.result)


@pytest.mark.fantasm(163)
def test_a_page_goes_on_exactly_after_the_one_before(client):
    """Entities that were added before its beginning meanwhile are not on it."""
    put(client, [10, 20, 30, 40])
    obj = StepObject()
    token = Subscribers(2).continuation(context_of(lambda: client), obj)
    put(client, [5, 15, 25])
    obj = StepObject()
    Subscribers(2).continuation(context_of(lambda: client), obj, token)
    assert [25, 30] == [each["n"] for each in obj.results]


def test_keys_only(client):
    """The results are keys, complete, of the test's namespace."""
    put(client, range(3))
    pages = pages_of(Subscribers(2, keys_only=True), context_of(lambda: client))
    assert [client.key("Subscriber", f"s{n}") for n in range(3)] == [
        key for obj in pages for key in obj.results
    ]


def test_a_retried_page_ends_where_the_next_one_begins(client):
    """However many entities lie before that by now: all of them, and none, and another batch size."""
    put(client, [10, 20, 30, 40])
    context = context_of(lambda: client)
    until = Subscribers(2).continuation(context, StepObject())
    put(client, [5, 15, 25])
    for size in (1, 2, 100):
        assert [5, 10, 15, 20] == [
            each["n"] for each in retried(Subscribers(size), context, None, until).results
        ]
    client.delete_multi([client.key("Subscriber", f"s{n}") for n in (5, 10, 15, 20)])
    empty = retried(Subscribers(2), context, None, until)
    assert ([], None) == (empty.results, empty.result)
    keys = retried(
        Subscribers(2, keys_only=True),
        context,
        until,
        Subscribers(2).continuation(context, StepObject(), until),
    )
    assert [client.key("Subscriber", f"s{n}") for n in (25, 30)] == keys.results


def test_a_retried_page_of_several_batches_ends_there_too(client):
    """Datastore answers so many entities in batches, and every one of them has the same end."""
    put(client, range(700))
    context = context_of(lambda: client)
    until = Subscribers(650).continuation(context, StepObject())
    assert list(range(650)) == [each["n"] for each in retried(Subscribers(650), context, None, until).results]
    begin = Subscribers(10).continuation(context, StepObject())
    assert list(range(10, 650)) == [
        each["n"] for each in retried(Subscribers(10), context, begin, until).results
    ]


@pytest.mark.parametrize("given", [None, [1, 2], "SELECT * FROM Subscriber"])
def test_what_is_no_query_is_refused(given):
    """The message says how to make one."""

    class Wrong(DatastoreContinuationFSMAction):
        def get_query(self, context, obj):
            return given

        def execute(self, context, obj):
            return None

    with pytest.raises(
        TypeError, match=r"get_query of Wrong returned a \w+; it returns what context\.datastore"
    ):
        Wrong().continuation(context_of(), StepObject())


NOTES = """
    from fantasm_gcp.action import FSMAction, DatastoreContinuationFSMAction

    class AllAccountsClass(DatastoreContinuationFSMAction):
      def getQuery(self, context, obj):
        return Accounts.all()

      def execute(self, context, obj):
        if not obj['result']:
          return None
        return "peraccount"

    # Fan in here every X seconds

    class CountAccountsClass(FSMAction):
      def execute(self, contexts, obj):
        \"\"\"Transactionally update our batch counter\"\"\"
        batch_key = "num_accounts"

        with client.transaction():
          batch = client.get(client.key("Batch", batch_key))
          if not batch:
            # For whatever reason it was not already created in previous state
            batch = datastore.Entity(client.key("Batch", batch_key))
            batch["counter"] = 0
          batch["counter"] += len(contexts)
          client.put(batch)
"""


def test_the_classes_of_the_users_notes_run(client):
    """With a query of today's client behind ``Accounts.all()``; the page without an account has no event."""

    class Accounts:
        all = staticmethod(lambda: client.query(kind="Subscriber"))

    names = {"Accounts": Accounts, "client": client, "datastore": datastore}
    exec(textwrap.dedent(NOTES), names)
    put(client, range(3))
    context = context_of(lambda: client)
    action = names["AllAccountsClass"]()
    events = [action.execute(context, obj) for obj in pages_of(action, context)]
    assert ["peraccount", "peraccount", "peraccount", None] == events
    batch = client.key("Batch", "num_accounts")
    client.delete(batch)
    for arrived in ([1, 2], [3]):
        names["CountAccountsClass"]().execute([context_of() for _ in arrived], StepObject())
    assert 3 == client.get(batch)["counter"]
    client.delete(batch)


TUTORIAL = """
    class InitialStateClass(object):
        def execute(self, context, obj): # called by Fantasm
            arg1 = context['arg1'] # query args become part of the machine context
            if arg1 == 'something':
                # execute method returns the event to dispatch, driving the transition
                return 'ok'
            else:
                return 'review'

    class SendEmail(object):
        def continuation(self, context, obj, token=None):
            query = client.query(kind="Subscriber")
            query.order = ["n"]
            page = query.fetch(1, start_cursor=token)
            obj['subscriber'] = next(iter(page), None)  # obj dict passes info to execute() method
            return page.next_page_token  # return token for next continuation() method

        def execute(self, context, obj):
            \"\"\"Send an email to a single subscriber\"\"\"
            subscriber = obj['subscriber']
            if subscriber:  # possible none were returned
                sent.append(subscriber["n"])
"""


def test_the_classes_of_the_tutorial_run(client):
    """They have no base class; today's client takes the cursor where the query is fetched."""
    sent = []
    names = {"client": client, "sent": sent}
    exec(textwrap.dedent(TUTORIAL), names)
    context = context_of(arg1="something")
    assert "ok" == names["InitialStateClass"]().execute(context, StepObject())
    assert "review" == names["InitialStateClass"]().execute(context_of(arg1="else"), StepObject())
    put(client, range(3))
    action, token, following = names["SendEmail"](), None, ""
    while following is not None and following != token:  # so ends a chain: no token, or the same again
        token, obj = following or None, StepObject()
        following = action.continuation(context, obj, token)
        action.execute(context, obj)
    assert [0, 1, 2] == sent
    assert obj["subscriber"] is None
