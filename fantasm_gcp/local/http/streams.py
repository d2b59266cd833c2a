"""Reading from a peer that may be slow, silent or lying: a socket with a deadline, and bodies."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from typing import Any

_MAX_CHUNK_LINE = 256
_MAX_TRAILERS = 100


class MalformedBodyError(OSError):
    """A chunked body that is not one; the connection cannot go on."""


class SlowPeerError(OSError):
    """The peer did not send, or take, what it should have within its time."""


class SocketReader(io.RawIOBase):
    """What a socket sends, after bytes that were read from it already, until :attr:`deadline`.

    The deadline is a moment of the monotonic clock by which whoever reads wants to be done, whatever trickles
    in until then: after it, reading raises :class:`SlowPeerError`. ``ended`` is whether reading has met the
    end of what the peer says.
    """

    def __init__(
        self, sock: socket.socket, already: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sock = sock
        self._already = already
        self._clock = clock
        self.deadline = float("inf")
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Blocks for the next bytes; 0 when the peer has ended."""
        if self._already:
            taken = self._already[: len(buffer)]
            buffer[: len(taken)] = taken
            self._already = self._already[len(taken) :]
            return len(taken)
        left = self.deadline - self._clock()
        if left <= 0:
            raise SlowPeerError("the peer sent too slowly")
        self._sock.settimeout(left if left < float("inf") else None)
        try:
            count = self._sock.recv_into(buffer)
        except TimeoutError as error:
            raise SlowPeerError("the peer sent too slowly") from error
        self.ended = count == 0
        return count


class SizedBody(io.RawIOBase):
    """The next so many bytes of a stream."""

    def __init__(self, stream: io.BufferedReader, length: int) -> None:
        self._stream = stream
        self.left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads some of what is left; 0 at the end, also when the peer ends too soon."""
        with memoryview(buffer) as view:
            count = self._stream.readinto1(view[: min(len(view), self.left)]) if self.left else 0
        self.left = self.left - count if count else 0
        return count


class ChunkedBody(io.RawIOBase):
    """A body in chunks, up to its end; raises :class:`MalformedBodyError` when it is not in chunks."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._chunk = 0
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads some of the chunk; 0 after the last one."""
        if self._chunk == 0 and not self.ended:
            self._begin_chunk()
        if self.ended:
            return 0
        with memoryview(buffer) as view:
            count = self._stream.readinto1(view[: min(len(view), self._chunk)])
        if count == 0:
            raise MalformedBodyError("the body ends within a chunk")
        self._chunk -= count
        if self._chunk == 0 and self._line():
            raise MalformedBodyError("a chunk is longer than it says")
        return count

    def _begin_chunk(self) -> None:
        size = self._line().partition(b";")[0].strip()
        if not size or len(size) > 15 or any(digit not in b"0123456789abcdefABCDEF" for digit in size):
            raise MalformedBodyError("a chunk begins with no size")
        self._chunk = int(size, 16)
        if self._chunk:
            return
        for _ in range(_MAX_TRAILERS):
            if not self._line():
                self.ended = True
                return
        raise MalformedBodyError("too many trailers")

    def _line(self) -> bytes:
        line = self._stream.readline(_MAX_CHUNK_LINE)
        if not line.endswith(b"\n"):
            raise MalformedBodyError("a line between chunks does not end")
        return line.rstrip(b"\r\n")
