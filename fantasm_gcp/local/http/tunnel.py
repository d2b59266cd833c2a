"""Two sockets joined: what one sends the other is given, byte for byte, as fast as it takes it."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

BUFFER_BYTES = 256 * 1024


class Flow:
    """One direction of a tunnel. It holds what the receiver has not taken yet and reads no further then."""

    __slots__ = ("ended", "pending", "sink", "source")

    def __init__(self, source: socket.socket, sink: socket.socket, pending: bytes = b"") -> None:
        self.source = source
        self.sink = sink
        self.pending = memoryview(pending)
        self.ended = False

    def send(self) -> None:
        """Sends what is held, as far as the receiver takes it."""
        while self.pending:
            try:
                self.pending = self.pending[self.sink.send(self.pending) :]
            except BlockingIOError:
                return

    def move(self, buffer: memoryview) -> int:
        """Moves what is there to be read once; answers how many bytes. ``OSError`` ends the tunnel."""
        try:
            count = self.source.recv_into(buffer)
        except BlockingIOError:
            return 0
        if count == 0:
            self.ended = True
            with suppress(OSError):  # the receiver may be gone already
                self.sink.shutdown(socket.SHUT_WR)
            return 0
        piece = buffer[:count]
        try:
            sent = self.sink.send(piece)
        except BlockingIOError:
            sent = 0
        if sent < count:
            self.pending = memoryview(bytes(piece[sent:]))
        return count


class Tunnel:
    """A client and the server it is joined to, watched by a selector of one thread."""

    def __init__(self, client: socket.socket, server: socket.socket, first: bytes, now: float) -> None:
        self.client = client
        self.server = server
        self.there = Flow(client, server, first)
        self.back = Flow(server, client)
        self.moved_at = now

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Says to the selector what each socket is waited for; again after everything that was moved."""
        for sock, reads, writes in (
            (self.client, self.there, self.back),
            (self.server, self.back, self.there),
        ):
            events = 0 if reads.ended or reads.pending else _READ
            events |= _WRITE if writes.pending else 0
            known = selector.get_map().get(sock)
            if known is None:
                if events:
                    selector.register(sock, events, self)
            elif not events:
                selector.unregister(sock)
            elif known.events != events:
                selector.modify(sock, events, self)

    def handle(self, sock: socket.socket, events: int, buffer: memoryview, now: float) -> bool:
        """Does what the selector says can be done at one of the two; answers whether to watch other events.

        Raises ``OSError`` when one of the two is gone.
        """
        reads, writes = (self.there, self.back) if sock is self.client else (self.back, self.there)
        held = bool(reads.pending), bool(writes.pending)
        if events & _WRITE:
            writes.send()
        if events & _READ and not reads.pending:
            reads.move(buffer)
        self.moved_at = now
        return reads.ended or held != (bool(reads.pending), bool(writes.pending))

    @property
    def ended(self) -> bool:
        """Whether both have said all they had to say."""
        return self.there.ended and self.back.ended and not (self.there.pending or self.back.pending)

    def close(self, selector: selectors.BaseSelector) -> None:
        """Closes both sockets."""
        for sock in (self.client, self.server):
            with suppress(KeyError, ValueError):
                selector.unregister(sock)
            with suppress(OSError):
                sock.close()
