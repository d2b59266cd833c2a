"""Where a worker can be killed: what differs to the servers, once each."""

from __future__ import annotations

from collections.abc import Sequence

import flask


def request_here() -> object | None:
    """The request that is being served, by its identity; None outside of requests."""
    return flask.request._get_current_object() if flask.has_request_context() else None


def lasts(requests: Sequence[object | None]) -> list[int]:
    """Of the requests that made calls, one for each call, the places where one made its last.

    A worker that is killed after a call has done what one has done that is killed before its next: only after
    its last call is it another case, where all is written and the answer lost.
    """
    return [n for n, each in enumerate(requests) if n + 1 == len(requests) or requests[n + 1] is not each]


def places(requests: Sequence[object | None]) -> list[tuple[int, bool]]:
    """Where to kill, as the number of a call and whether after it."""
    return [(n, False) for n in range(len(requests))] + [(n, True) for n in lasts(requests)]
