"""Asking a URL without any proof who one is."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.deploying.reach import Reached

TIMEOUT = 60.0
"""Seconds for an answer: an instance may have to start first."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Where a login is asked for is an answer, too."""

    def redirect_request(self, *_: Any) -> None:
        return None


def check_url(url: str) -> str:
    """A URL without a slash at its end; raises :class:`Refusal` for what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Refusal(f"--url {url!r} is no URL like https://name.example.com")
    return url.rstrip("/")


def reach(url: str) -> Reached:
    """What a URL answers to a GET without credentials; redirects are not followed."""
    # A proxy that the environment names cannot reach this machine's own address.
    is_near = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    opener = urllib.request.build_opener(_NoRedirect, *([urllib.request.ProxyHandler({})] if is_near else []))
    request = urllib.request.Request(check_url(url), headers={"User-Agent": "fantasm-doctor"})  # noqa: S310  # checked
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return _read(url, answer.status, answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return _read(url, error.code, error.headers)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return Reached(url, 0, str(reason) or type(reason).__name__)


def _read(url: str, status: int, headers: Any) -> Reached:
    return Reached(url, status, "", headers.get("Location") or "", _ahead(headers.get("Date")))


def _ahead(date: str | None) -> float | None:
    """Seconds by which this machine's clock is ahead of a Date header."""
    try:
        return None if date is None else time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
