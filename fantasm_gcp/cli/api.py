"""The HTTP API of a running application, as the verbs that ask it see it."""

from __future__ import annotations

import http.client
import ipaddress
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click

from fantasm_gcp.cli.refusal import Failure, Refusal
from fantasm_gcp.core.definition import DEFAULT_ROOT
from fantasm_gcp.core.findings import did_you_mean

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = 30.0

F = TypeVar("F", bound=Callable[..., Any])


def url_option(command: F) -> F:
    """The option that says where the application is."""
    return click.option(
        "--url",
        default=DEFAULT_URL,
        show_default=True,
        help="Where the application is served; with the root_url of its fsm.yaml if that has one.",
    )(command)


def format_option(command: F) -> F:
    """The option that chooses between text for people and JSON."""
    return click.option(
        "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
    )(command)


class Api:
    """An application at a URL. Every method raises :class:`Refusal` when there is no answer to use.

    Its exit status is 2 for what the caller should do otherwise, 1 for a failure of the application.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refusal(f"--url {url!r} is no URL like {DEFAULT_URL}")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.root = parts.path.rstrip("/") or DEFAULT_ROOT
        self._named = url.rstrip("/")
        # A proxy that the environment names cannot reach this machine's own address.
        proxies = [urllib.request.ProxyHandler({})] if _is_loopback(parts.hostname) else []
        self._opener = urllib.request.build_opener(*proxies)

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
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return self._parsed(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, self._parsed(error.read())) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise Refusal(f"no answer from {self.url} ({said}): is fantasm dev running?") from error

    def _parsed(self, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Refusal(
                f"what answers at {self._named} is not this application: name another with --url"
                "; the root_url of its fsm.yaml, where it has one, belongs there, too"
            )
        return answer

    def _refused(self, status: int, answer: Mapping[str, Any]) -> Refusal:
        message = str(answer.get("error") or f"{self.url} answered {status}")
        if "machines" in answer:
            names, machine = answer["machines"], str(answer.get("machine"))
            message = f"unknown machine {machine!r}; "
            message += did_you_mean(machine, names) or f"the machines are: {', '.join(names) or 'none'}"
        return Refusal(message) if status < 500 else Failure(message)


def _quoted(path: Iterable[str]) -> str:
    return "/".join(quote(each, safe="") for each in path)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
