"""Standing between the clients and the local servers: to count, to fail, to stop in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fantasm_gcp.local.rpc import Method, Service


class Crash(BaseException):
    """A worker was killed: nothing in it runs on, and no ``except Exception`` sees it."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One call of a server's method: the short name of the method, and the request."""

    method: str
    request: Any


Around = Callable[[Rpc, Callable[[], Any]], Any]
"""Is given a call and what carries it out; answers its response, or raises instead."""


def intercepted(service: Service, around: Around) -> Service:
    """A service whose every call goes through ``around``."""
    return Service(
        service.name, {name: _method(name, each, around) for name, each in service.methods.items()}
    )


def _method(name: str, method: Method, around: Around) -> Method:
    def call(request: Any) -> Any:
        return around(Rpc(name, request), lambda: method.call(request))

    return Method(method.request, method.response, call)
