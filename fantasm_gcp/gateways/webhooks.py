"""Webhooks: signed posts that tell of the end of an instance, and the action that sends them.

Where they may go is the application's to say, and not that of whoever starts an instance: see
``docs/webhooks.md``. ``requests`` is loaded by the first post.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from fantasm_gcp.action import FSMAction
from fantasm_gcp.core.context import Context, StepObject
from fantasm_gcp.core.endpoints import Endpoint, parse_allowed, parse_endpoint, refusal_of
from fantasm_gcp.core.signing import parse_keys, signatures
from fantasm_gcp.errors import FantasmError, SettingsError, StartError, StepError

if TYPE_CHECKING:  # it loads requests
    from fantasm_gcp.gateways.checked_connections import Patience

USER_AGENT = "fantasm-gcp-webhooks"

OUTCOME_KEYS = (
    "instance",
    "machine",
    "status",
    "started",
    "ended",
    "parent",
    "note",
    "failed_steps",
    "definition",
)
"""What is told of an instance, in this order."""

STATUSES = ("completed", "failed", "cancelled")
"""How an instance can have ended."""

_GONE = 410
_DELIVERY = re.compile(r"[A-Za-z0-9_-]{1,500}")


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, the likeliest first, as the system finds them. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Webhooks:
    """Posts to hosts that are allowed.

    ``secret`` and ``hosts`` are as in the settings FANTASM_WEBHOOK_SECRET and FANTASM_WEBHOOK_HOSTS, either
    may be empty; ``local`` tells of local mode; ``clock`` gives seconds of the epoch. ``resolve`` looks hosts
    up, ``patience`` is how long is waited, ``authorities`` a file of certificates to trust instead of the
    usual ones. Raises ``SettingsError`` for a secret or a host that cannot be used.
    """

    def __init__(
        self,
        secret: str,
        hosts: tuple[str, ...],
        local: bool,
        clock: Callable[[], float],
        *,
        resolve: Callable[[str, int], Sequence[str]] = look_up,
        patience: Patience | None = None,
        authorities: str | None = None,
    ) -> None:
        with _setting("FANTASM_WEBHOOK_SECRET"):
            self._keys = parse_keys(secret)
        with _setting("FANTASM_WEBHOOK_HOSTS"):
            self._allowed = tuple(map(parse_allowed, hosts))
        self._local = local
        self._clock = clock
        self._resolve = resolve
        self._patience = patience
        self._authorities = authorities

    def check(self, url: object) -> None:
        """Raises ``StartError``, with what to configure, for a URL that may not be posted to.

        Nothing is looked up: a host that is allowed may still lead to an address that is not.
        """
        self._checked(url)

    def post(self, url: str, delivery: str, body: bytes) -> int:
        """Posts a JSON body once, signed, and answers the HTTP status. Redirects are not followed.

        ``delivery`` is the receiver's means to know repetitions: letters, digits, ``-`` and ``_``, equal on
        every attempt. Raises ``StartError`` as :meth:`check`, and ``ConnectionError`` where the host has an
        address that may not be connected to, or where no answer came: the receiver may have got it all the
        same.
        """
        from fantasm_gcp.gateways.checked_connections import Patience, send  # they load requests

        endpoint = self._checked(url)
        if not _DELIVERY.fullmatch(delivery):
            raise ValueError(f"delivery {delivery!r} is not of letters, digits, '-' and '_' alone")
        timestamp = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Connection": "close",
            "webhook-id": delivery,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(self._keys, delivery, timestamp, body),
        }
        return send(
            endpoint,
            headers,
            body,
            addresses=lambda: self._addresses(endpoint),
            patience=self._patience or Patience(),
            authorities=self._authorities,
        )

    def _checked(self, url: object) -> Endpoint:
        if not self._keys:
            raise StartError("webhooks are not configured: set FANTASM_WEBHOOK_SECRET to sign them with")
        try:
            endpoint = parse_endpoint(url)
        except ValueError as error:
            raise StartError(f"the webhook's URL cannot be used: {error}") from error
        if endpoint.scheme != "https" and not (self._local and endpoint.is_this_machine):
            raise StartError(
                f"{endpoint.authority}: webhooks go by https:// alone, but to this machine in local mode"
            )
        if not any(each.allows(endpoint) for each in self._allowed):
            raise StartError(
                f"{endpoint.authority} is not allowed for webhooks: "
                f"add {endpoint.entry} to FANTASM_WEBHOOK_HOSTS"
            )
        return endpoint

    def _addresses(self, endpoint: Endpoint) -> list[str]:
        """Where to connect to. One address that is refused is enough to refuse the host: it is not as
        whoever allowed it thought.
        """
        found = [endpoint.host] if endpoint.address else self._resolve(endpoint.host, endpoint.port)
        for each in found:
            why = refusal_of(endpoint, ip_address(each), self._allowed, local=self._local)
            if why:
                raise ConnectionError(f"refused: {why}; FANTASM_WEBHOOK_HOSTS can allow an address itself")
        return list(found)


class DeliverWebhook(FSMAction):
    """Posts what became of an instance. The context has its ``outcome`` and the ``url`` of the receiver."""

    def execute(self, context: Context, obj: StepObject) -> None:  # noqa: ARG002  an action takes both
        """One attempt. It fails for good where no other one can help: with ``StepError``."""
        webhooks = context._scope.webhooks
        if webhooks is None:
            raise StepError("webhooks are not configured where this runs")
        url, body = context.get("url"), body_of(context.get("outcome"))
        try:
            webhooks.check(url)
        except StartError as error:
            raise StepError(str(error)) from error
        self._deliver(context, webhooks, parse_endpoint(url), body)

    def _deliver(self, context: Context, webhooks: Webhooks, endpoint: Endpoint, body: bytes) -> None:
        receiver, began = endpoint.authority, time.monotonic()
        try:
            status = webhooks.post(endpoint.url, context.instance_name, body)
        except ConnectionError as error:
            context.logger.warning("no answer after %.3f s: %s", time.monotonic() - began, error)
            raise
        context.logger.info("%s answered %d after %.3f s", receiver, status, time.monotonic() - began)
        if status == _GONE:
            raise StepError(f"{receiver} answered {status}: it wants no more of these")
        if not 200 <= status < 300:
            raise FantasmError(f"{receiver} answered {status}, and not 2xx")


def body_of(outcome: object) -> bytes:
    """What is posted for an outcome: the same bytes for the same outcome. Raises ``StepError``."""
    if not isinstance(outcome, Mapping):
        raise StepError("the context has no outcome to tell of")
    told = {key: outcome.get(key) for key in OUTCOME_KEYS}
    if told["status"] not in STATUSES or not all(map(_is_plain, told.values())):
        raise StepError("the context's outcome is none of an instance")
    message = {"type": f"fantasm.instance.{told['status']}", "timestamp": told["ended"], "data": told}
    return json.dumps(message, separators=(",", ":")).encode()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int)


@contextmanager
def _setting(variable: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SettingsError(f"{variable} cannot be used: {error}") from error
