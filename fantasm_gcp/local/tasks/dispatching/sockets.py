"""Sockets whose every operation must end by one moment.

A socket's own timeout is for each operation by itself, and a worker that answers a byte at a time would
never meet it.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any

_PIECE = 65_536


class TooLongError(ConnectionError):
    """The other side has sent more than is read of it."""


def remaining(expires: float) -> float:
    """The seconds until a moment of the monotonic clock; ``TimeoutError`` when it has passed."""
    left = expires - time.monotonic()
    if left <= 0:
        raise TimeoutError("the dispatch deadline has passed")
    return left


def connect(host: str, port: int, expires: float) -> socket.socket:
    """A connection to the first address of a host that takes one, all tried by the one deadline.

    Raises the ``OSError`` of the last address, ``TimeoutError`` once the deadline has passed.
    """
    failure: OSError = ConnectionError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(remaining(expires))
            connected.connect(address)
        except OSError as error:
            connected.close()
            failure = error
        else:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected
    raise failure


class DeadlineSocket:
    """A connected socket as ``http.client`` uses one, until ``expires``, for an answer of so many bytes.

    Reading raises :class:`TooLongError` behind ``most`` bytes, and both directions ``TimeoutError``.
    """

    def __init__(self, connected: socket.socket, expires: float, most: int) -> None:
        self._socket = connected
        self._expires = expires
        self._raw = _DeadlineReader(connected, expires, most)
        self._reader = _SharedReader(self._raw)

    @property
    def ended(self) -> bool:
        """Whether reading has met the end of what the other side says."""
        return self._raw.ended

    def sendall(self, content: Any) -> None:
        """Sends everything; piece by piece, because over TLS the timeout is for each piece."""
        view = memoryview(content)
        while view:
            self._socket.settimeout(remaining(self._expires))
            view = view[self._socket.send(view[:_PIECE]) :]

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """The one reader of this socket: what one answer has left in its buffer is the next one's."""
        return self._reader

    def close(self) -> None:
        """Closes the connection at once; a reader is of no use any more."""
        self._socket.close()


class _SharedReader(io.BufferedReader):
    """Closing it does nothing: each answer closes its reader at its end, also when another one follows."""

    def close(self) -> None:
        """Left to the socket."""


class _DeadlineReader(io.RawIOBase):
    def __init__(self, connected: socket.socket, expires: float, most: int) -> None:
        self._socket = connected
        self._expires = expires
        self._left = most
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left <= 0:
            raise TooLongError("the answer is too long to be read to its end")
        self._socket.settimeout(remaining(self._expires))
        count = self._socket.recv_into(buffer)
        self._left -= count
        self.ended = count == 0
        return count
