"""Continuations through lists: pages, their ends, and the two spellings of what a subclass defines."""

from __future__ import annotations

import random

import pytest
from action_pages import context_of, pages_of, retried

from fantasm_gcp.action import (
    ContinuationFSMAction,
    DatastoreContinuationFSMAction,
    FSMAction,
    ListContinuationFSMAction,
    NDBDatastoreContinuationFSMAction,
)
from fantasm_gcp.core.context import StepObject


class Listing(ListContinuationFSMAction):
    """Works through what it is made with."""

    def __init__(self, items=(), size=None):
        self.items, self.size = items, size

    def getList(self, context, obj):  # noqa: N802  Fantasm's name for it
        return self.items

    def getBatchSize(self, context, obj):  # noqa: N802  as above
        return self.size if self.size is not None else super().getBatchSize(context, obj)

    def execute(self, context, obj):
        return "ok" if obj["result"] is not None else None


@pytest.mark.parametrize(("size", "pages"), [(1, 10), (3, 4), (10, 1), (11, 1), (None, 10)])
@pytest.mark.fantasm(162, 169, 170, 171)
def test_a_list_has_every_item_once_and_no_empty_page(size, pages):
    """Ten items in pages of one, three, ten and eleven; ``obj`` has the page under both kinds of names."""
    found = pages_of(Listing(list("abcdefghij"), size), context_of())
    assert pages == len(found)
    assert list("abcdefghij") == [item for obj in found for item in obj["results"]]
    for obj in found:
        assert obj.results is obj["results"]
        assert obj.result == obj["result"] == obj["results"][0]


def test_an_empty_list_has_one_empty_page():
    """So the state's action runs once and sees that there is nothing."""
    (page,) = pages_of(Listing([], 3), context_of())
    assert ([], None) == (page["results"], page["result"])


@pytest.mark.parametrize("items", [(1, 2, 3), range(3), [None, 0, False]])
def test_any_sequence_is_a_list(items):
    """``obj.results`` is a list of its own, whatever the sequence is."""
    found = pages_of(Listing(items, 2), context_of())
    assert [list(items[:2]), list(items[2:])] == [obj.results for obj in found]
    found[0].results.clear()
    assert 3 == len(items)


@pytest.mark.parametrize("items", [None, {1, 2}, {1: 2}, iter([1]), "abc", b"abc", 5, map(str, [1])])
def test_what_has_no_lasting_order_is_no_list(items):
    """Neither is text: an argument of a URL that was given once would be taken apart into letters."""
    with pytest.raises(TypeError, match=r"get_list of Listing returned a \w+; it returns a list"):
        Listing(items, 1).continuation(context_of(), StepObject())


@pytest.mark.parametrize("size", [0, -1, 1.5, "3", True])
def test_a_batch_size_is_a_number_from_one_on(size):
    """Anything else would end the chain at once, or never."""
    with pytest.raises(ValueError, match="get_batch_size of Listing returned"):
        Listing([1], size).continuation(context_of(), StepObject())


def test_a_retried_page_ends_where_the_next_one_begins():
    """Whatever the batch size is by now: the next page was announced with its token."""
    items = list(range(10))
    assert items[3:6] == retried(Listing(items, 1), context_of(), "3", "6").results
    assert items[3:6] == retried(Listing(items, 100), context_of(), "3", "6").results
    assert items[:7] == retried(Listing(items, 2), context_of(), None, "7").results
    assert [] == retried(Listing(items[:2], 2), context_of(), "3", "6").results


def test_random_lists_with_retries_have_every_item_once():
    """Any attempt may be the second one, with another batch size."""
    source = random.Random(2)
    for _ in range(200):
        items = list(range(source.randrange(20)))
        token, found = None, []
        while True:
            obj = StepObject()
            following = Listing(items, source.randrange(1, 6)).continuation(context_of(), obj, token)
            if following and source.random() < 0.5:
                obj = retried(Listing(items, source.randrange(1, 6)), context_of(), token, following)
            found += obj.results
            if following is None:
                break
            token = following
        assert items == found


class Snake(ListContinuationFSMAction):
    def get_list(self, context, obj):
        return [1, 2, 3]

    def get_batch_size(self, context, obj):
        return 2

    def execute(self, context, obj):
        return "ok"


class Camel(ListContinuationFSMAction):
    def getList(self, context, obj):  # noqa: N802  Fantasm's names
        return [1, 2, 3]

    def getBatchSize(self, context, obj):  # noqa: N802
        return 2

    def execute(self, context, obj):
        return "ok"


class Mixed(Camel):
    def get_batch_size(self, context, obj):
        return super().get_batch_size(context, obj) + 1


class MixedTheOtherWay(Snake):
    def getBatchSize(self, context, obj):  # noqa: N802
        return super().getBatchSize(context, obj) + 1


class Lists:
    def getList(self, context, obj):  # noqa: N802
        return [1, 2, 3]


class WithMixin(Lists, ListContinuationFSMAction):
    getBatchSize = staticmethod(lambda context, obj: 2)  # noqa: N815

    def execute(self, context, obj):
        return "ok"


class Inherits(WithMixin):
    """Defines nothing."""


class Both(Camel):
    def get_batch_size(self, context, obj):
        return self.getBatchSize(context, obj)

    def getBatchSize(self, context, obj):  # noqa: N802
        return 1


@pytest.mark.parametrize(
    ("action", "pages"),
    [
        (Snake, [[1, 2], [3]]),
        (Camel, [[1, 2], [3]]),
        (Mixed, [[1, 2, 3]]),
        (MixedTheOtherWay, [[1, 2, 3]]),
        (WithMixin, [[1, 2], [3]]),
        (Inherits, [[1, 2], [3]]),
        (Both, [[1], [2], [3]]),
    ],
)
def test_a_method_has_two_spellings(action, pages):
    """A class, or a mixin of it, defines either; both names call the nearest definition, ``super()`` too."""
    assert pages == [obj.results for obj in pages_of(action(), context_of())]
    assert len(pages[0]) == action().get_batch_size(None, None) == action().getBatchSize(None, None)
    assert [1, 2, 3] == action().get_list(None, None) == action().getList(None, None)


def test_the_spellings_of_one_class_leave_others_alone():
    """The base class still has its own."""
    assert 1 == Listing([1]).get_batch_size(None, None)
    assert ListContinuationFSMAction.getBatchSize is ListContinuationFSMAction.get_batch_size


@pytest.mark.parametrize(
    ("base", "missing"),
    [
        (FSMAction, "execute"),
        (ContinuationFSMAction, "continuation"),
        (ListContinuationFSMAction, "get_list"),
        (DatastoreContinuationFSMAction, "get_query"),
        (NDBDatastoreContinuationFSMAction, "get_query"),
    ],
)
def test_a_class_without_what_it_needs_is_an_error_when_it_is_made(base, missing):
    """At load, not in the first task; the message names the method."""
    methods = {} if missing == "execute" else {"execute": lambda self, context, obj: None}
    with pytest.raises(TypeError, match=rf"Incomplete .*\b{missing}\b"):
        type("Incomplete", (base,), methods)()


def test_either_spelling_makes_a_class_complete():
    """The other one is there, too."""
    for name in ("get_query", "getQuery"):
        for base in (DatastoreContinuationFSMAction, NDBDatastoreContinuationFSMAction):
            body = {"execute": lambda self, context, obj: None, name: lambda self, context, obj: "query"}
            action = type("Complete", (base,), body)()
            assert ("query", "query") == (action.get_query(None, None), action.getQuery(None, None))
