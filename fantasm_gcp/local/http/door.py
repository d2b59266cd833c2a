"""One port for gRPC and HTTP/1.1: the first bytes of a connection say which of the two it speaks.

HTTP/2 begins with a preface that is no request of HTTP/1.1 (RFC 9113, 3.4). A connection that begins with it
is joined to the gRPC server, which listens at an address of its own; any other is given to a thread that
serves it. One thread accepts, waits for first bytes and feeds all tunnels.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from fantasm_gcp.local.http.connection import Connection, Patience
from fantasm_gcp.local.http.statuses import JSON, render_json_error
from fantasm_gcp.local.http.tunnel import BUFFER_BYTES, Tunnel

log = logging.getLogger("fantasm_gcp.local.http")

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_HANDSHAKE = b"\x16"  # the first byte of TLS, and of no request of HTTP

MAX_CONNECTIONS: Final = 240
"""Connections at a time. Each takes up to three files of the process, which may often have 1024 at most."""

QUIET_SECONDS: Final = 120.0
"""After how long a silence a tunnel may be ended to make room for a new connection; clients reconnect."""

_BACKLOG = 512
_TICK_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class _Newcomer:
    """A connection that has not said yet what it speaks."""

    sock: socket.socket
    came_at: float
    said: bytes = b""


class Door:
    """Listens at ``host:port`` (0 picks a free port) from now until :meth:`close`.

    ``grpc_address`` is ``host:port`` or ``unix:path`` of the gRPC server, "" for none; ``app`` is the WSGI
    application for everything else, ``port`` the port it is bound to. Beyond ``limit`` connections one is
    closed for each new one: one that has not said anything yet, else an idle one, else one whose headers are
    long in coming; when there is none, the new one.

    Raises ``OSError`` when the port cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        grpc_address: str,
        app: Callable[..., Iterable[bytes]],
        *,
        limit: int = MAX_CONNECTIONS,
        patience: Patience | None = None,
    ) -> None:
        self._grpc_address = grpc_address
        self._app = app
        self._limit = limit
        self._patience = patience or Patience()
        self._tick = min(_TICK_SECONDS, self._patience.first_bytes)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._listening.setblocking(False)
        self.host = host
        self.port: int = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._waker = socket.socketpair()
        self._newcomers: dict[_Newcomer, None] = {}
        self._tunnels: set[Tunnel] = set()
        self._served: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._told_of_tls = False
        self._expire_at = 0.0
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._selector.register(self._listening, selectors.EVENT_READ, None)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._work, name="door", daemon=True)
        self._thread.start()

    def close(self, grace: float = 1.0) -> None:
        """Takes no further connection, ends the tunnels, and gives requests in flight ``grace`` seconds.

        A request that takes longer loses its connection; what answers it runs on in its thread, which does
        not keep the process. The gRPC server is best stopped first, for calls in flight. Idempotent.
        """
        if self._stopping:
            return
        self._stopping = True
        self._waker.send(b"x")
        self._thread.join()
        self._waker.close()
        self._wakeup.close()
        give_up = time.monotonic() + grace
        with self._lock:
            served = [each for each in self._served.items() if each[1] is not threading.current_thread()]
        for connection, _ in served:
            connection.end(at_once=False)
        for connection, thread in served:
            thread.join(max(0.0, give_up - time.monotonic()))
            connection.end()
        for _, thread in served:
            thread.join(max(0.0, give_up + 0.5 - time.monotonic()))

    # -- the thread that accepts and feeds

    def _work(self) -> None:
        try:
            while not self._stopping:
                for key, events in self._selector.select(self._tick):
                    self._handle(key, events)
                self._expire()
        finally:
            for tunnel in self._tunnels:
                tunnel.close(self._selector)
            for newcomer in self._newcomers:
                newcomer.sock.close()
            self._selector.close()
            self._listening.close()

    def _handle(self, key: selectors.SelectorKey, events: int) -> None:
        owner = key.data
        if owner is None:
            if key.fileobj is self._listening:
                self._accept()
            return
        try:
            if isinstance(owner, Tunnel):
                if owner in self._tunnels:
                    self._feed(owner, key.fileobj, events)
            elif owner in self._newcomers:
                self._hear(owner)
        except OSError as error:
            log.debug("a connection ended: %s", error)
            self._drop(owner)
        except Exception:  # one connection must not take the others along
            log.exception("a connection failed")
            self._drop(owner)

    def _feed(self, tunnel: Tunnel, sock: Any, events: int) -> None:
        if tunnel.handle(sock, events, self._buffer, time.monotonic()):
            if tunnel.ended:
                self._drop(tunnel)
            else:
                tunnel.watch(self._selector)

    def _accept(self) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, _ = self._listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # a peer that has gone already
                continue
            except OSError as error:  # out of files
                log.warning("no connection can be accepted: %s", error)
                self._make_room(of=0)
                self._selector.unregister(self._listening)  # until the next tick
                return
            if not self._make_room(of=self._limit):
                sock.close()
                continue
            sock.setblocking(False)
            with suppress(OSError):  # some systems refuse it for a peer that has gone already
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            newcomer = _Newcomer(sock, time.monotonic())
            self._newcomers[newcomer] = None
            self._selector.register(sock, selectors.EVENT_READ, newcomer)

    def _hear(self, newcomer: _Newcomer) -> None:
        """Reads first bytes, and decides once they are a preface or can be none."""
        said = newcomer.sock.recv(BUFFER_BYTES)
        if not said:
            self._drop(newcomer)
            return
        newcomer.said += said
        if newcomer.said.startswith(_HANDSHAKE):
            self._refuse_tls(newcomer)
            return
        if len(newcomer.said) < len(PREFACE) and PREFACE.startswith(newcomer.said):
            return
        del self._newcomers[newcomer]
        self._selector.unregister(newcomer.sock)
        if newcomer.said.startswith(PREFACE) and self._grpc_address:
            self._join(newcomer)
        else:
            self._serve(newcomer)

    def _refuse_tls(self, newcomer: _Newcomer) -> None:
        """Answers at once, in the open: clients of TLS take that for a wrong version, and wait no longer."""
        if not self._told_of_tls:
            self._told_of_tls = True
            log.warning("a client speaks TLS to port %d: use http://, or an insecure channel", self.port)
        body = render_json_error(400, "This port does not speak TLS: use http://.", "INVALID_ARGUMENT")
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
        newcomer.sock.send(f"{head}Connection: close\r\n\r\n".encode() + body)
        self._drop(newcomer)

    def _join(self, newcomer: _Newcomer) -> None:
        try:
            server = _connect(self._grpc_address)
        except OSError:
            newcomer.sock.close()
            raise
        tunnel = Tunnel(newcomer.sock, server, newcomer.said, time.monotonic())
        self._tunnels.add(tunnel)
        tunnel.watch(self._selector)

    def _serve(self, newcomer: _Newcomer) -> None:
        newcomer.sock.setblocking(True)
        try:
            connection = Connection(
                newcomer.sock, newcomer.said, self._app, (self.host, self.port), self._patience
            )
        except OSError:
            newcomer.sock.close()
            raise
        thread = threading.Thread(target=self._run, args=(connection,), name="http", daemon=True)
        with self._lock:
            self._served[connection] = thread
        try:
            thread.start()
        except RuntimeError:  # the process has as many threads as it may
            with self._lock:
                del self._served[connection]
            newcomer.sock.close()
            raise

    def _run(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                del self._served[connection]

    # -- what keeps the number of connections bounded

    def _make_room(self, of: int) -> bool:
        """Whether one more connection fits; ends an idle one if that takes it."""
        with self._lock:
            served = [connection for connection in self._served if not connection.ending]
        if len(self._newcomers) + len(self._tunnels) + len(served) < of:
            return True
        if self._newcomers:
            self._drop(next(iter(self._newcomers)))
            return True
        idle = [connection for connection in served if connection.idle]
        if idle:
            min(idle, key=lambda connection: connection.idle_since).end()
            return True
        slow = [(since, each) for each in served if (since := each.reading_since) is not None]
        longest = min(slow, key=lambda found: found[0], default=None)
        if longest is not None and time.monotonic() - longest[0] >= self._patience.prompt:
            longest[1].end()
            return True
        quietest = min(self._tunnels, key=lambda tunnel: tunnel.moved_at, default=None)
        if quietest is not None and time.monotonic() - quietest.moved_at > QUIET_SECONDS:
            self._drop(quietest)
            return True
        return False

    def _expire(self) -> None:
        """Ends what has been silent for too long; accepts again after a pause."""
        now = time.monotonic()
        if now < self._expire_at:
            return
        self._expire_at = now + self._tick
        for newcomer in list(self._newcomers):
            if now - newcomer.came_at < self._patience.first_bytes:
                break
            self._drop(newcomer)
        if self._listening not in self._selector.get_map():
            self._selector.register(self._listening, selectors.EVENT_READ, None)

    def _drop(self, owner: Tunnel | _Newcomer) -> None:
        if isinstance(owner, Tunnel):
            self._tunnels.discard(owner)
            owner.close(self._selector)
        elif self._newcomers.pop(owner, owner) is None:
            self._selector.unregister(owner.sock)
            owner.sock.close()


def _connect(address: str) -> socket.socket:
    """Begins to connect to the gRPC server; what is sent waits until it is."""
    kind, _, path = address.partition(":")
    target: Any = path
    if kind == "unix":
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        host, _, port = address.rpartition(":")
        target = (host.strip("[]"), int(port))
        server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.setblocking(False)
    try:
        with suppress(BlockingIOError):
            server.connect(target)
    except OSError:
        server.close()
        raise
    return server
