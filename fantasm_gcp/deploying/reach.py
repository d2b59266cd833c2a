"""What an answer to a request without any proof says of an installation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fantasm_gcp.deploying.findings import Finding, error, ok, warning

MOST_SKEW: Final = 5.0
"""Seconds by which two clocks may differ: a Date header is whole seconds, and an answer takes its time."""

_CLOSED: Final = (401, 403)
_LOGINS: Final = ("accounts.google.com", "appengine.google.com", "iap.googleapis.com")


@dataclass(frozen=True, slots=True)
class Reached:
    """An answer to a request without proof. ``status`` is 0 where there was none, ``words`` says why.

    ``location`` is where it redirects to. ``ahead`` is by how many seconds this machine's clock is ahead of
    the answer's; None where the answer has no date.
    """

    url: str
    status: int
    words: str = ""
    location: str = ""
    ahead: float | None = None


def check_reached(reached: Reached) -> Iterator[Finding]:
    """Somebody answers, lets nobody in without a proof, and has the time that it is here."""
    yield _answer(reached)
    if reached.ahead is None:
        return
    if abs(reached.ahead) > MOST_SKEW:
        way = "ahead of" if reached.ahead > 0 else "behind"
        words = (
            f"this machine's clock is {abs(reached.ahead):.0f} s {way} the one that answers: start tokens "
            "made here may be refused; set this machine's clock"
        )
        yield warning("clock", words)
    else:
        yield ok("clock", "this machine's and that of what answers agree")


def _answer(reached: Reached) -> Finding:
    check, status = "reachable", reached.status
    host = _host(reached.location)
    if not status:
        return error(check, f"{reached.url} does not answer: {reached.words}")
    if status in _CLOSED:
        return ok(check, f"{reached.url} answers {status} to those who have no proof")
    if 300 <= status < 400 and host in _LOGINS:
        return ok(check, f"{reached.url} sends those who have no proof to the login of {host}")
    if status == 404:
        return error(check, f"{reached.url} answers 404: another application, another root_url or an ingress")
    if status < 300:
        return error(check, f"{reached.url} is open: it answers {status} to those who have no proof")
    return error(
        check, f"{reached.url} answers {status}; 401 or 403 is what those who have no proof should get"
    )


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or ""
    except ValueError:  # what is written there is not ours
        return ""
