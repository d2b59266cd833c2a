"""Who may call what. Nothing is open by default: a caller has to prove a role that ``core.access`` names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from flask import Request, g
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, TooManyRequests, Unauthorized

from fantasm_gcp.core.access import NOBODY, Caller, Need, Role
from fantasm_gcp.errors import IdentityError
from fantasm_gcp.settings import Settings
from fantasm_gcp.web import forgery
from fantasm_gcp.web.callers import Authorize, Verifier, address_of, identify, is_loopback
from fantasm_gcp.web.confirming import wants_confirmation
from fantasm_gcp.web.limiting import Refusals
from fantasm_gcp.web.start_tokens import StartGrant, read_start_token, token_of

log = logging.getLogger("fantasm_gcp.guard")

NOT_LOOPBACK: Final = (
    "fantasm_gcp runs in local mode, which answers this machine only: "
    "open it as http://127.0.0.1 or http://localhost."
)
WANTED: Final = {
    Need.STYLE: "",
    Need.STEP: "a step is delivered by Cloud Tasks alone",
    Need.SWEEP: "the sweeper is called by cron, Cloud Scheduler or an operator",
    Need.START: "starting a machine takes an operator, an account on FANTASM_STARTERS, or a start token",
    Need.LOOK: "this is for viewers and operators",
    Need.COMMAND: "this is for operators",
}
"""What is said to who may not: what would be needed, and never why a proof was not enough."""

BAD_LINK: Final = "this link is not good, or not any more: ask whoever gave it to you for another one"

APP_ENGINE_SENDER: Final = "0.1.0.2"
"""Where App Engine's tasks come from; no network has such an address, only a delivery inside the process."""

LOCAL_CALLER: Final = Caller("this machine", frozenset(Role), ambient=True)
LOCAL_TASKS: Final = Caller("the local Cloud Tasks", frozenset({Role.TASKS}))

MOST_SHOWN: Final = 200
"""Characters of what a stranger wrote that go into a line of the log."""

_NEEDS: Final = {"step": Need.STEP, "sweep": Need.SWEEP, "start": Need.START, "static": Need.STYLE}
"""By the names of endpoints; all others are for looking, or for commands where something is posted."""

_SAFE: Final = ("GET", "HEAD", "OPTIONS")


def need_of(endpoint: str, method: str) -> Need:
    """What a request is about."""
    named = _NEEDS.get(endpoint.rpartition(".")[2])
    return named or (Need.LOOK if method in _SAFE else Need.COMMAND)


class Guard:
    """Lets requests of one application in, or refuses them. Safe for many threads."""

    def __init__(
        self,
        settings: Settings,
        verifier: Callable[[], Verifier],
        authorize: Authorize | None,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._verifier = verifier
        self._authorize = authorize
        self._clock = clock
        self._refusals = Refusals(clock)

    def admit(self, request: Request) -> None:
        """Remembers who calls in ``g.fantasm_caller``, and of a start token what it grants.

        Raises ``Unauthorized`` or ``Forbidden``, after many of them ``TooManyRequests``; and
        ``UnverifiedError`` where it cannot tell.
        """
        need = need_of(request.endpoint or "", request.method)
        g.fantasm_caller, g.fantasm_grant = NOBODY, None
        if need is Need.STYLE and not self._settings.is_local:
            return  # whoever has a start link sees a page, too
        try:
            caller = self._identify(request, need)
        except IdentityError as error:
            raise self._refusal(request, need, NOBODY, str(error)) from error
        if not caller.may(need):
            reason = "nothing shows who calls" if caller is NOBODY else f"{caller.name} may not {need}"
            raise self._refusal(request, need, caller, reason)
        g.fantasm_caller = caller
        if not wants_confirmation(request, caller):
            forgery.check(request, caller, is_local=self._settings.is_local)

    def _identify(self, request: Request, need: Need) -> Caller:
        if self._settings.is_local:
            caller = _local(request)
            g.fantasm_grant = self._grant(request, need)
            return caller
        grant = g.fantasm_grant = self._grant(request, need)
        if grant is not None:
            return Caller("a start token", frozenset({Role.INVITED}))
        return identify(request, self._settings, self._verifier, self._authorize)

    def _grant(self, request: Request, need: Need) -> StartGrant | None:
        """What the start token of a request grants, None without one. Raises ``IdentityError``."""
        token = token_of(request) if need is Need.START else None
        if token is None:
            return None
        grant = read_start_token(self._settings.start_secret, token, self._clock())
        machine = (request.view_args or {}).get("machine")
        if grant.machine != machine:
            raise IdentityError(f"a start token of machine {grant.machine!r} was shown to {machine!r}")
        return grant

    def _refusal(self, request: Request, need: Need, caller: Caller, reason: str) -> HTTPException:
        """The answer to who may not, and a line in the log: neither without end.

        Cloud Tasks is told the same each time: 429 would slow down the whole queue.
        """
        address = address_of(request, self._settings)
        counted = self._refusals.refuse(address)
        if counted.unlogged:
            log.warning("refused %d requests more, without a line for each", counted.unlogged)
        if counted.is_logged:
            path = ascii(request.path[:MOST_SHOWN])
            log.warning(
                "refused %s %s from %s: %s", request.method, path, ascii(address[:MOST_SHOWN]), reason
            )
        if not counted.in_words and need is not Need.STEP:
            return TooManyRequests("too many refused requests", retry_after=counted.retry_after)
        said = f"{WANTED[need]}; docs/security.md tells what opens this application"
        if need is Need.START and token_of(request) is not None:
            said = BAD_LINK
        if caller is NOBODY and self._settings.audience:
            return Unauthorized(said, www_authenticate=WWWAuthenticate("bearer"))
        return Forbidden(said)


def _local(request: Request) -> Caller:
    """In local mode a request has to name this machine as its host, so that a page of another site cannot
    reach it under a name of its own.
    """
    if request.remote_addr == APP_ENGINE_SENDER:
        return LOCAL_TASKS
    host = urlsplit(f"//{request.host}").hostname or ""
    near = host == "localhost" or is_loopback(host)
    if not near or not is_loopback(request.remote_addr or "127.0.0.1"):
        raise Forbidden(NOT_LOOPBACK)
    return LOCAL_CALLER
