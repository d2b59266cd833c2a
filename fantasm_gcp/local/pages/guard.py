"""Who may ask: people and programs of this machine, and no page of another site in their browsers."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from flask import request
from werkzeug.exceptions import Forbidden

NOT_LOCAL = (
    "This server answers under the names of this machine only: open it as http://127.0.0.1 or "
    "http://localhost, with its port. With fantasm emulator, --name=HOST allows one more."
)
FROM_ELSEWHERE = (
    "This request was made by a page of another site, so nothing was done: open the address itself to do it, "
    "or send the request from a program."
)
ADDRESSES = "addresses:"
"""Stands for every address; no host is called so."""

_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuses with 403 what a page of another site could have a browser send.

    The Host header must name this machine, also for looking: a name that somebody else's server of names
    leads to loopback is of the same origin as that somebody's pages. What changes something must besides
    come from a page of this server or from no page; browsers say so in Sec-Fetch-Site and in Origin.
    """

    def __init__(self, hosts: Collection[str] = ()) -> None:
        """``hosts`` are names that are allowed beside those of loopback, without ports.

        :data:`ADDRESSES` among them allows every address: nobody can lead an address elsewhere.
        """
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self) -> None:
        """Raises ``Forbidden`` for a request that is not to be answered."""
        host = request.headers.get("Host", "").lower()
        if not self.allows(host):
            raise Forbidden(NOT_LOCAL)
        if request.method in _SAFE:
            return
        if request.headers.get("Sec-Fetch-Site", "none").lower() not in ("same-origin", "none"):
            raise Forbidden(FROM_ELSEWHERE)
        # A request with several Origins is nobody's: they come joined by a comma, which equals no host.
        origin = request.headers.get("Origin")
        if origin is not None and _netloc(origin) != host:
            raise Forbidden(FROM_ELSEWHERE)

    def allows(self, host: str) -> bool:
        """Whether a Host header, with or without a port, is one to answer under."""
        name = _name_of(host.lower())
        if name == "localhost" or name.endswith(".localhost") or name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or ADDRESSES in self._hosts


def _name_of(host: str) -> str:
    """The name or address in a Host header, without its port; "" when it holds anything else."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.netloc == host and "@" not in host else ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
