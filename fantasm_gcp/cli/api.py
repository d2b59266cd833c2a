"""The HTTP API of a running application, as the verbs that ask it see it.

An application that is protected is shown an ID token. It goes over TLS or to this machine, to the place that
``--url`` names and nowhere else: no redirect is followed, and nothing that is printed has it.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from email.message import Message
from typing import IO, Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click

from fantasm_gcp.cli.refusal import Failure, Refusal
from fantasm_gcp.cli.unproved import tell_redirect, tell_unproved
from fantasm_gcp.core.definition import DEFAULT_ROOT
from fantasm_gcp.core.findings import did_you_mean
from fantasm_gcp.errors import SettingsError
from fantasm_gcp.settings import refuse_unknown

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = 30.0

F = TypeVar("F", bound=Callable[..., Any])

_TOKEN: Final = f"{__name__}.token"
_NO_TOKEN: Final = re.compile(r"[^\x21-\x7e]")
_LONGEST_TOKEN = 16_000


def url_option(command: F) -> F:
    """The options that say where the application is and who asks it."""
    command = click.option(
        "--token",
        envvar="FANTASM_TOKEN",
        show_envvar=True,
        expose_value=False,
        callback=_keep_token,
        help="An ID token of yours, where the application is protected; - reads it from standard input.",
    )(command)
    return click.option(
        "--url",
        default=DEFAULT_URL,
        show_default=True,
        envvar="FANTASM_URL",
        show_envvar=True,
        help="Where the application is served; with the root_url of its fsm.yaml if that has one.",
    )(command)


def _keep_token(ctx: click.Context, _: click.Parameter, token: str | None) -> None:
    """Puts the token beside the arguments: no verb has to hand it on, and none can print it."""
    if token == "-" and not ctx.resilient_parsing:  # noqa: S105  # the name of standard input
        token = sys.stdin.buffer.read(_LONGEST_TOKEN + 2).decode("ascii", "replace")
        if not token.strip():
            raise Refusal("--token - reads an ID token from standard input, and there is none")
    ctx.meta[_TOKEN] = (token or "").strip()


def _given_token() -> str:
    ctx = click.get_current_context(silent=True)
    return str(ctx.meta.get(_TOKEN, "")) if ctx else ""


def format_option(command: F) -> F:
    """The option that chooses between text for people and JSON."""
    return click.option(
        "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
    )(command)


class _Staying(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what it leads to would be sent the token, and a command as a GET."""

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> None:
        """Leaves the answer to what makes errors of other statuses; where it leads is not even read."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Api:
    """An application at a URL. Every method raises :class:`Refusal` when there is no answer to use.

    Its exit status is 2 for what the caller should do otherwise, 1 for a failure of the application.
    ``token`` is sent with every request, where it is not given the one of the command that is running.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        try:
            refuse_unknown(os.environ)
            parts = urlsplit(url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except SettingsError as error:
            raise Refusal(str(error)) from error
        except ValueError:
            is_url = False
        if not is_url:
            raise Refusal(f"--url {url!r} is no URL like {DEFAULT_URL}")
        if "@" in parts.netloc:
            raise Refusal("--url has a name or a password in it, which it cannot: write the host alone")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._token = _checked(_given_token() if token is None else token)
        self._is_near = _is_loopback(parts.hostname or "")
        if self._token and parts.scheme == "http" and not self._is_near:
            raise Refusal(f"a token goes to https or to this machine only, and not to {self.url}")
        self.root = parts.path.rstrip("/") or DEFAULT_ROOT
        self._named = url.rstrip("/")
        # A proxy that the environment names cannot reach this machine's own address.
        proxies = [urllib.request.ProxyHandler({})] if self._is_near else []
        self._opener = urllib.request.build_opener(_Staying, *proxies)

    def get(self, *path: str, **arguments: str | int | None) -> dict[str, Any]:
        """The JSON at a path below ``api/`` of the root; arguments that are None are left out."""
        given = {name: value for name, value in arguments.items() if value is not None}
        query = f"?{urlencode(given)}" if given else ""
        url = f"{self.url}{self.root}/api/{_quoted(path)}{query}"
        request = urllib.request.Request(url)  # noqa: S310  # checked above
        return self._ask(request)

    def post(self, *path: str, **arguments: Any) -> dict[str, Any]:
        """Gives a command, at a path below ``api/`` of the root; arguments that are None are left out."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return self._post(f"api/{_quoted(path)}", given, {})

    def start(self, machine: str, context: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """Starts a machine; the headers say how."""
        return self._post(f"fsm/{_quoted([machine])}/", context, headers)

    def _post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        url = f"{self.url}{self.root}/{path}"
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), kind | dict(headers))  # noqa: S310  # checked above
        return self._ask(request)

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return self._parsed(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                body = error.read()
            raise self._refused(error.code, error.headers, body) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise Refusal(f"no answer from {self.url} ({said}): is fantasm dev running?") from error

    def _without_token(self, text: str) -> str:
        """A text without the token, should the server have said it again."""
        return text.replace(self._token, "(the token)") if self._token else text

    def _parsed(self, body: bytes) -> dict[str, Any]:
        answer = _json(body)
        if answer is None:
            raise Refusal(
                f"what answers at {self._named} is not this application: name another with --url"
                "; the root_url of its fsm.yaml, where it has one, belongs there, too"
            )
        return answer

    def _refused(self, status: int, headers: Message, body: bytes) -> Refusal:
        if 300 <= status < 400:
            return Refusal(self._without_token(tell_redirect(self.url, headers)))
        if status in (401, 403) and (not self._is_near or self._token or status == 401):
            said = str((_json(body) or {}).get("error") or "")
            told = tell_unproved(self.url, status, said, headers, has_token=bool(self._token))
            return Refusal(self._without_token(told))
        answer = self._parsed(body)
        message = self._without_token(str(answer.get("error") or f"{self.url} answered {status}"))
        if "machines" in answer:
            names, machine = answer["machines"], str(answer.get("machine"))
            message = f"unknown machine {machine!r}; "
            message += did_you_mean(machine, names) or f"the machines are: {', '.join(names) or 'none'}"
        return Refusal(message) if status < 500 else Failure(message)


def _json(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body; None for anything else."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _checked(token: str) -> str:
    """A token as it was given; raises :class:`Refusal`, without saying it, for what no header can carry."""
    if _NO_TOKEN.search(token) or len(token) > _LONGEST_TOKEN:
        raise Refusal("the token is none: it has letters, digits and signs, without a space, on one line")
    return token


def _quoted(path: Iterable[str]) -> str:
    return "/".join(quote(each, safe="") for each in path)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
