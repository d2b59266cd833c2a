"""Base classes for the actions of states. They are a convenience: any class with ``execute`` will do.

Methods with two spellings, like ``get_query`` and Fantasm's ``getQuery``, are one method: a class may define
either, and both call it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, Protocol

from fantasm_gcp.core.context import Context, Page, StepObject


class Action(Protocol):
    """What a state's ``action`` names: an object of any class with ``execute``.

    A continuation state's action also has ``continuation(context, obj, token)``.
    """

    def execute(self, context: Any, obj: Any) -> str | None:
        """Returns the event of the transition to take next, or None; see :class:`FSMAction`."""


class FSMAction(ABC):
    """The action of a state."""

    @abstractmethod
    def execute(self, context: Any, obj: StepObject) -> str | None:
        """Does the state's work and returns the event of the transition to take next.

        ``context`` is the branch's :class:`Context`; in a fan-in state it is the list of contexts that
        arrived. A final state may return None, which ends the branch. An exception has
        the whole attempt run again later; changes of the context count only when ``execute`` returns.
        """


def _join_spellings(cls: type[Any], pair: tuple[str, str]) -> None:
    """Makes both names of a method mean the definition that is nearest in the order of the classes."""
    for base in cls.__mro__:
        defined = [name for name in pair if name in vars(base)]
        if len(defined) == 1:
            (other,) = set(pair) - set(defined)
            setattr(cls, other, vars(base)[defined[0]])
        if defined:
            return


class ContinuationFSMAction(FSMAction):
    """The action of a state marked ``continuation: True``: it works through pages, a branch for each."""

    _spellings: tuple[tuple[str, str], ...] = ()
    """Pairs of names that are one method, for the subclasses."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for pair in cls._spellings:
            _join_spellings(cls, pair)

    @abstractmethod
    def continuation(self, context: Context, obj: StepObject, token: str | None = None) -> str | bytes | None:
        """Reads the page that ``token`` begins (None: the first) into ``obj``; runs before ``execute``.

        Returns the token of the page that follows; None or the same token ends the chain. On a retry
        ``obj['until']`` is the token that an earlier attempt returned: the next page begins there, whatever
        this call returns.
        """

    @staticmethod
    def results_count(context: Context, obj: StepObject | None = None) -> int:  # noqa: ARG004  Fantasm's signature
        """The number of results on the page that a context comes from: of the innermost continuation."""
        pages = _pages_of(context)
        return pages[-1].size if pages else 0

    getResultsCount = results_count  # noqa: N815  Fantasm's name for it

    @staticmethod
    def total_results_count(
        contexts: Iterable[Context],
        obj: StepObject | None = None,  # noqa: ARG004  Fantasm's signature
    ) -> int | None:
        """The number of results of a whole continuation, as far as the contexts of a fan-in tell it.

        It is known once the branch of the last page is among them. Where a continuation ran inside of
        another, it is the number of the inner one's results for all pages of the outer one, and known once
        for each of these pages the inner one's last page is among them. None where it is not known, and
        where branches forked between the two.
        """
        return _total([pages for pages in map(_pages_of, contexts) if pages])

    checkFanInForTotalResultsCount = total_results_count  # noqa: N815  Fantasm's name for it


class ListContinuationFSMAction(ContinuationFSMAction):
    """Works through a list, ``get_batch_size`` items at a time.

    ``execute`` finds the page's items in ``obj.results`` and the first of them, or None, in ``obj.result``.
    An empty list has one page, without items; no other list has an empty page.
    """

    _spellings = (("get_list", "getList"), ("get_batch_size", "getBatchSize"))

    @abstractmethod
    def get_list(self, context: Context, obj: StepObject) -> Sequence[Any]:
        """The list to work through: the same on every call, in every process."""

    def get_batch_size(self, context: Context, obj: StepObject) -> int:  # noqa: ARG002  for those that override it
        """The number of items of a page."""
        return 1

    def continuation(self, context: Context, obj: StepObject, token: str | None = None) -> str | None:
        """Reads a page; its token is the place of its first item, counted from 0."""
        size = _batch_size(self, context, obj)
        items = self.get_list(context, obj)
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise TypeError(
                f"get_list of {type(self).__name__} returned a {type(items).__name__}; it returns a list, "
                "the same items in the same order on every call"
            )
        begin, until = int(token or 0), obj.get("until")
        end = begin + size if until is None else int(until)
        _hand_on(obj, items[begin:end])
        return str(end) if until is not None or end < len(items) else None


class DatastoreContinuationFSMAction(ContinuationFSMAction):
    """Works through the results of a Datastore query, ``get_batch_size`` at a time.

    ``execute`` finds the page's entities in ``obj.results`` and the first of them, or None, in
    ``obj.result``. Where the number of entities is a multiple of the batch size, the last page is empty.
    """

    _spellings = (
        ("get_query", "getQuery"),
        ("get_batch_size", "getBatchSize"),
        ("get_keys_only", "getKeysOnly"),
    )

    @abstractmethod
    def get_query(self, context: Context, obj: StepObject) -> Any:
        """The query to work through: a ``google.cloud.datastore`` query, the same on every call.

        ``context.datastore.query(kind=...)`` makes one.
        """

    def get_batch_size(self, context: Context, obj: StepObject) -> int:  # noqa: ARG002  for those that override it
        """The number of entities of a page."""
        return 1

    def get_keys_only(self, context: Context, obj: StepObject) -> bool:  # noqa: ARG002  as above
        """Whether the results are keys instead of entities; that reads, and costs, less."""
        return False

    def continuation(self, context: Context, obj: StepObject, token: str | None = None) -> str | None:
        """Reads a page; its token is the query's cursor."""
        size = _batch_size(self, context, obj)
        query = self.get_query(context, obj)
        if not hasattr(query, "fetch") or hasattr(query, "fetch_page"):
            raise TypeError(
                f"get_query of {type(self).__name__} returned a {type(query).__name__}; it returns what "
                "context.datastore.query(kind=...) makes, and a query of ndb is one for "
                "NDBDatastoreContinuationFSMAction"
            )
        keys_only = self.get_keys_only(context, obj)
        if keys_only:
            query.keys_only()
        until = obj.get("until")  # where an earlier attempt's page ended, however many lie before that by now
        following: str | None
        if until is None:
            page = query.fetch(limit=size, start_cursor=token)
            found = list(page)
            following = _text(page.next_page_token) if len(found) == size else None
        else:
            found, following = list(_between(query, token, until)), str(until)
        _hand_on(obj, [each.key for each in found] if keys_only else found)
        return following


class NDBDatastoreContinuationFSMAction(ContinuationFSMAction):
    """Works through the results of a google-cloud-ndb query, ``get_batch_size`` at a time.

    ``execute`` finds the page's models, or keys, in ``obj.results`` and the first of them, or None, in
    ``obj.result``. Only a query without results has an empty page. It needs the optional package
    google-cloud-ndb, and requests that are served within a context of ndb, which the WSGI middleware of
    Google's guide to ndb makes.
    """

    _spellings = (
        ("get_query", "getQuery"),
        ("get_batch_size", "getBatchSize"),
        ("get_keys_only", "getKeysOnly"),
        ("get_deadline", "getDeadline"),
        ("get_read_policy", "getReadPolicy"),
    )

    @abstractmethod
    def get_query(self, context: Context, obj: StepObject) -> Any:
        """The query to work through, like ``Subscriber.query()``: the same on every call, and none with
        ``OR``, ``IN`` or ``!=``, which have no cursors.
        """

    def get_batch_size(self, context: Context, obj: StepObject) -> int:  # noqa: ARG002  for those that override it
        """The number of models of a page."""
        return 1

    def get_keys_only(self, context: Context, obj: StepObject) -> bool:  # noqa: ARG002  as above
        """Whether the results are keys instead of models; that reads, and costs, less."""
        return False

    def get_deadline(self, context: Context, obj: StepObject) -> float | None:  # noqa: ARG002  as above
        """The seconds that a read may take; None is what ndb has for it."""
        return None

    def get_read_policy(self, context: Context, obj: StepObject) -> Any:  # noqa: ARG002  as above
        """The ``read_policy`` of the query; None is what ndb has for it, strong consistency."""
        return None

    def continuation(self, context: Context, obj: StepObject, token: str | None = None) -> str | None:
        """Reads a page; its token is the query's cursor.

        Raises ``RuntimeError`` where google-cloud-ndb is not installed or no context of it is there.
        """
        ndb = _ndb(type(self).__name__)
        size = _batch_size(self, context, obj)
        query = self.get_query(context, obj)
        if not isinstance(query, ndb.Query):
            raise TypeError(
                f"get_query of {type(self).__name__} returned a {type(query).__name__}; it returns a query "
                "of google.cloud.ndb, like Subscriber.query()"
            )
        options = {
            "keys_only": self.get_keys_only(context, obj) or None,
            "timeout": self.get_deadline(context, obj),
            "read_policy": self.get_read_policy(context, obj),
            "start_cursor": ndb.Cursor(urlsafe=token) if token else None,
        }
        until = obj.get("until")
        if until is not None:  # where an earlier attempt's page ended, however many lie before that by now
            _hand_on(obj, query.fetch(end_cursor=ndb.Cursor(urlsafe=until), **options))
            return str(until)
        results = query.iter(limit=size + 1, **options)  # one more, to know whether a page follows
        found: list[Any] = []
        cursor = None
        while len(found) < size and results.has_next():
            found.append(results.next())
            cursor = results.cursor_after()
        _hand_on(obj, found)
        return _text(cursor.urlsafe()) if cursor is not None and results.has_next() else None


def _batch_size(action: Any, context: Context, obj: StepObject) -> int:
    size = action.get_batch_size(context, obj)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(
            f"get_batch_size of {type(action).__name__} returned {size!r}; it is a number from 1 on"
        )
    return size


def _hand_on(obj: StepObject, results: Iterable[Any]) -> None:
    obj["results"] = list(results)
    obj["result"] = obj["results"][0] if obj["results"] else None


def _text(cursor: str | bytes | None) -> str | None:
    return cursor.decode() if isinstance(cursor, bytes) else cursor


def _between(query: Any, token: str | None, until: str) -> Iterator[Any]:
    """The entities from one cursor to another.

    Datastore answers many of them in several batches, and the client asks only for the first with the cursor
    of the end: it would read on to the end of the query.
    """
    begin = token
    while True:
        pages = query.fetch(start_cursor=begin, end_cursor=until)
        found = list(next(pages.pages, ()))
        yield from found
        following = _text(pages.next_page_token)
        if following in (None, begin, until):
            return
        begin = following


def _ndb(needed_by: str) -> Any:
    """google-cloud-ndb, which only applications that use it have installed."""
    try:
        ndb = import_module("google.cloud.ndb")
    except ImportError as error:
        raise RuntimeError(
            f"{needed_by} needs the package google-cloud-ndb: pip install 'fantasm-gcp[ndb]'"
        ) from error
    if ndb.get_context(raise_context_error=False) is None:
        raise RuntimeError(
            f"{needed_by} needs a context of ndb: let a WSGI middleware around the application serve every "
            "request within 'with ndb_client.context():', where ndb_client is one ndb.Client() of the process"
        )
    return ndb


def _pages_of(context: Any) -> tuple[Page, ...]:
    pages: tuple[Page, ...] = getattr(context, "pages", ())
    return pages


def _total(chains: Sequence[tuple[Page, ...]]) -> int | None:
    """The results of the innermost of nested continuations, from the pages that branches came through."""
    if len({chain[0].chain for chain in chains}) > 1:
        return None  # they are of several continuations: branches forked before they began
    by_number: dict[int, list[tuple[Page, ...]]] = {}
    for chain in chains:
        by_number.setdefault(chain[0].number, []).append(chain)
    last = next((chain[0] for chain in chains if chain[0].last), None)
    if last is None:
        return None
    if all(len(chain) == 1 for chain in chains):
        return last.before + last.size
    if any(chain[0].forked for chain in chains if len(chain) > 1):
        return None  # each fork has an inner continuation of its own, and nobody knows how many have come
    total = 0
    for number in range(last.number + 1):
        inner = _total([chain[1:] for chain in by_number.get(number, ()) if len(chain) > 1])
        if inner is None:
            return None
        total += inner
    return total
