"""Base classes for the actions of states. They are a convenience: any class with ``execute`` will do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from fantasm_gcp.core.context import Context, StepObject


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


class ContinuationFSMAction(FSMAction):
    """The action of a state marked ``continuation: True``: it works through pages, a branch for each."""

    @abstractmethod
    def continuation(self, context: Context, obj: StepObject, token: str | None = None) -> str | bytes | None:
        """Reads the page that ``token`` begins (None: the first) into ``obj``; runs before ``execute``.

        Returns the token of the page that follows; None or the same token ends the chain. On a retry
        ``obj['until']`` is the token that an earlier attempt returned: the next page begins there, whatever
        this call returns.
        """


class DatastoreContinuationFSMAction(ContinuationFSMAction):
    """Works through the results of a Datastore query, ``get_batch_size`` at a time.

    ``execute`` finds the page's entities in ``obj.results`` and the first of them, or None, in
    ``obj.result``. Where the number of entities is a multiple of the batch size, the last page is empty.
    """

    @abstractmethod
    def get_query(self, context: Context, obj: StepObject) -> Any:
        """The query to work through: a ``google.cloud.datastore`` query, the same on every call."""

    def get_batch_size(self, context: Context, obj: StepObject) -> int:  # noqa: ARG002  for those that override it
        """The number of entities of a page."""
        return 1

    def continuation(self, context: Context, obj: StepObject, token: str | None = None) -> str | bytes | None:
        batch_size = self.get_batch_size(context, obj)
        until = obj.get("until")  # where an earlier attempt's page ended, however many lie before that by now
        limit = batch_size if until is None else None
        page = self.get_query(context, obj).fetch(limit=limit, start_cursor=token, end_cursor=until)
        obj.results = list(page)
        obj.result = obj.results[0] if obj.results else None
        return page.next_page_token if len(obj.results) == batch_size else None
