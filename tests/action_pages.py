"""Working through a continuation as the engine does it: each page in an attempt of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fantasm_gcp.core.context import Context, Scope, StepObject
from fantasm_gcp.core.names import InstanceId, StepName


def context_of(client: Callable[[], Any] | None = None, **data: Any) -> Context:
    """A context outside of any instance; ``client`` gives its Datastore client."""
    scope = Scope(
        instance=InstanceId("Machine-20260101000000-0"),
        machine="Machine",
        state="State",
        event="event",
        step=StepName("step"),
        started=0.0,
        client=client or (lambda: None),
        require=lambda name: name,
    )
    return Context(scope, data)


def pages_of(action: Any, context: Context) -> list[StepObject]:
    """What ``obj`` is on each page, to the end of the chain."""
    token, pages = None, []
    while True:
        obj = StepObject()
        following = action.continuation(context, obj, token)
        assert following is None or isinstance(following, str)
        pages.append(obj)
        if not following or following == token or obj.get("results") == []:
            return pages
        token = following
        assert len(pages) < 1000, "the chain has no end"


def retried(action: Any, context: Context, token: str | None, until: str) -> StepObject:
    """The page from ``token`` on, on a retry after the token ``until`` was announced."""
    obj = StepObject(until=until)
    assert until == action.continuation(context, obj, token)
    return obj
