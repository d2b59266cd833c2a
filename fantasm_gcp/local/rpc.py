"""How a local server's methods are reached: over gRPC, or in one process without the wire.

A server is a :class:`Service`: for each method the message classes and a function from request to response
that raises :class:`RpcError`. Both ways serialize and parse every message, so neither side can see the
other's objects change. The third way, HTTP, is the package ``fantasm_gcp.local.http``.

Whatever a caller sends, it is answered with a status: what does not parse is INVALID_ARGUMENT, what is too
long RESOURCE_EXHAUSTED, and an error nobody expected is logged here and INTERNAL there, without its text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

log = logging.getLogger("fantasm_gcp.local.rpc")

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""The longest request that is read at all. Both real services refuse above 10 MiB, in words of their own."""


WORKERS = 4
"""Threads of a gRPC server: methods take turns anyway, and more threads only fight for the interpreter."""


CheckTimeout: TypeAlias = Callable[[float], None]

_NO_TIMEOUT = 1e9
"""Seconds from which on a timeout is none: gRPC has a moment far ahead for a deadline that was not set."""

_MOST_WORDS = 3000
"""Bytes of a refusal's message over gRPC: it goes twice among headers, and of these clients take 8 KiB."""


class RpcError(Exception):
    """A method's refusal: a gRPC status code, a message for the caller, and details as protobuf messages."""

    def __init__(self, code: grpc.StatusCode, message: str, details: Sequence[Any] = ()) -> None:
        self.code = code
        self.message = message
        self.details = tuple(details)
        super().__init__(f"{code.name}: {message}")


def render_status(refusal: RpcError) -> Any:
    """The ``google.rpc.Status`` of a refusal."""
    status = Status(code=refusal.code.value[0], message=refusal.message)
    for detail in refusal.details:
        status.details.add().Pack(detail)
    return status


def _shorten(message: str) -> str:
    """As much of a message as gRPC can carry; there each byte that is not printable ASCII takes three."""
    left = _MOST_WORDS
    for at, char in enumerate(message):
        left -= 1 if " " <= char <= "~" else 3 * len(char.encode(errors="replace"))
        if left < 0:
            return f"{message[:at]}…"
    return message


def _trailing_metadata(refusal: RpcError) -> tuple[tuple[str, bytes], ...]:
    """Where the clients of gRPC look for the details of an error."""
    if not refusal.details:
        return ()
    return (("grpc-status-details-bin", render_status(refusal).SerializeToString()),)


@dataclass(frozen=True, slots=True)
class Method:
    """One unary RPC: the raw protobuf classes of its request and response, and what it does."""

    request: type[Any]
    response: type[Any]
    call: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC service: its full name, and its methods by their short names.

    ``check_timeout`` is given the seconds that a caller over gRPC will wait, if he has said how long, and may
    raise :class:`RpcError`.
    """

    name: str
    methods: Mapping[str, Method]
    check_timeout: CheckTimeout | None = None


def parse(method: Method, body: bytes) -> Any:
    """The request that ``body`` serializes; RESOURCE_EXHAUSTED when it is too long, else INVALID_ARGUMENT."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise too_long(len(body))
    try:
        return method.request.FromString(body)
    except DecodeError as error:
        name = method.request.DESCRIPTOR.full_name
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT, f"The request is not a serialized {name}."
        ) from error


def too_long(size: int) -> RpcError:
    """The refusal of a message of so many bytes, in gRPC's words."""
    return RpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"Received message larger than max ({size} vs. {MAX_MESSAGE_BYTES})",
    )


def call(method: Method, request: Any) -> Any:
    """The response to a request; raises ``RpcError`` and nothing else that is an ``Exception``."""
    try:
        return method.call(request)
    except RpcError:
        raise
    except Exception as error:
        log.exception("a request of the type %s failed", method.request.DESCRIPTOR.full_name)
        raise RpcError(grpc.StatusCode.INTERNAL, "Internal error encountered.") from error


def serve(
    services: Service | Sequence[Service], host: str, port: int, workers: int = WORKERS
) -> tuple[grpc.Server, int]:
    """Starts one gRPC server for a service or several, and answers it with the port it is bound to.

    Port 0 picks a free one. Raises ``OSError`` when the port is taken.
    """
    served = [services] if isinstance(services, Service) else list(services)
    server = grpc.server(
        ThreadPoolExecutor(max_workers=workers, thread_name_prefix=served[0].name.rpartition(".")[2]),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", -1),
            # Clients that look every few seconds whether the server is there are told to go by default.
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.so_reuseport", 0),
        ],
    )
    for service in served:
        handlers = {name: _handler(method, service) for name, method in service.methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.name, handlers),))
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"port {port} of {host} is in use") from error
    server.start()
    return server, bound


def _handler(method: Method, service: Service) -> grpc.RpcMethodHandler:
    def handle(body: bytes, context: grpc.ServicerContext) -> Any:
        try:
            _check_timeout(service, context.time_remaining())
            return call(method, parse(method, body)).SerializeToString()
        except RpcError as error:
            refusal = RpcError(error.code, _shorten(error.message), error.details)
            context.set_trailing_metadata(_trailing_metadata(refusal))
            context.abort(refusal.code, refusal.message)

    # Parsed here and not by grpc, which answers INTERNAL to bytes that are no message.
    return grpc.unary_unary_rpc_method_handler(handle)


def _check_timeout(service: Service, timeout: float | None) -> None:
    if service.check_timeout is not None and timeout is not None and timeout < _NO_TIMEOUT:
        service.check_timeout(timeout)


class LocalChannel(grpc.Channel):  # type: ignore[misc]  # grpc ships no types
    """A channel to services of this process: the same client classes, the same bytes, no socket."""

    def __init__(self, *services: Service) -> None:
        self._services = {f"/{s.name}/{name}": (s, name) for s in services for name in s.methods}

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool = False,  # grpc's signature
    ) -> grpc.UnaryUnaryMultiCallable:
        return _LocalCall(method, self._services.get(method), request_serializer, response_deserializer)

    def _streaming(self, *_: Any, **__: Any) -> Any:
        raise RpcError(grpc.StatusCode.UNIMPLEMENTED, "the local servers have no streaming methods")

    unary_stream = stream_unary = stream_stream = _streaming

    def subscribe(self, callback: Callable[[Any], None], try_to_connect: bool = False) -> None:  # noqa: ARG002  grpc's signature
        callback(grpc.ChannelConnectivity.READY)

    def unsubscribe(self, callback: Callable[[Any], None]) -> None:
        """Nothing to undo: the channel never changes its state."""

    def close(self) -> None:
        """Nothing to close: there is no socket."""

    def __enter__(self) -> LocalChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LocalCall(grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]  # grpc ships no types
    def __init__(
        self,
        name: str,
        served: tuple[Service, str] | None,
        serialize: Callable[[Any], bytes] | None,
        parse: Callable[[bytes], Any] | None,
    ) -> None:
        self._name = name
        self._served = served
        self._serialize = serialize or (lambda request: request)
        self._parse = parse or (lambda response: response)

    def __call__(self, request: Any, timeout: float | None = None, *_: Any, **__: Any) -> Any:
        try:
            if self._served is None:
                raise RpcError(grpc.StatusCode.UNIMPLEMENTED, f"{self._name} is not served locally")
            service, name = self._served
            _check_timeout(service, timeout)
            method = service.methods[name]
            response = call(method, parse(method, self._serialize(request)))
        except RpcError as error:
            raise _LocalStatus(error.code, error.message, _trailing_metadata(error)) from error
        return self._parse(response.SerializeToString())

    def with_call(
        self, request: Any, timeout: float | None = None, *_: Any, **__: Any
    ) -> tuple[Any, grpc.Call]:
        return self(request, timeout), _LocalStatus(grpc.StatusCode.OK, "")

    def future(self, *_: Any, **__: Any) -> Any:
        raise _LocalStatus(grpc.StatusCode.UNIMPLEMENTED, "the local channel is synchronous")


class _LocalStatus(grpc.RpcError, grpc.Call):  # type: ignore[misc]  # grpc ships no types
    """What the client libraries read off a finished or failed call."""

    def __init__(
        self, code: grpc.StatusCode, message: str, metadata: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        self._code = code
        self._message = message
        self._metadata = metadata
        super().__init__(f"{code.name}: {message}")

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002  grpc's signature
        """The channel's interceptors take a failed call for a finished future, as grpc's own are."""
        raise self

    def initial_metadata(self) -> tuple[()]:
        return ()

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._metadata

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> None:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Callable[[], None]) -> bool:  # noqa: ARG002  grpc's signature
        return False
