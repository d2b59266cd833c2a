"""Writing the answer of a WSGI application as an HTTP/1.1 response."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from typing import Any

Headers = list[tuple[str, str]]


class ResponseWriter:
    """One response: ``start`` is WSGI's ``start_response``, then pieces of the body, then :meth:`finish`.

    A response without Content-Length goes out in chunks, or to a peer of HTTP/1.0 until the connection ends.
    ``close`` is asked, when the headers go out, whether the connection ends with it. ``broken`` is true when
    the connection cannot go on after it: HTTP/1.0, or a body that is not as long as was said.
    """

    def __init__(self, out: Any, *, head: bool, http11: bool, close: Callable[[], bool]) -> None:
        self._out = out
        self._head = head
        self._http11 = http11
        self._close = close
        self._status = ""
        self._headers: Headers = []
        self._bodiless = head
        self._chunked = False
        self._left: int | None = None
        self.begun = False
        self.broken = not http11

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """Sets status and headers; a second time only with ``exc_info``, as WSGI has it."""
        if exc_info is not None and self.begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._status and exc_info is None:
            raise AssertionError("start_response was called twice")
        self._status, self._headers = status, list(headers)
        return self.write

    def write(self, piece: bytes) -> None:
        """Sends a piece of the body, after the headers if they are still to go."""
        opening = b"" if self.begun else self._begin()
        if not piece or self._bodiless:
            framed = b""
        elif self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(piece), piece)
        else:
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            framed = piece
        if opening or framed:
            self._out.write(opening + framed)

    def finish(self) -> None:
        """Ends the body."""
        if not self.begun:
            self.write(b"")
        if self._chunked:
            self._out.write(b"0\r\n\r\n")
        if self._left:
            self.broken = True

    def _begin(self) -> bytes:
        assert self._status, "the application did not call start_response"
        self.begun = True
        names = {name.lower(): value for name, value in self._headers}
        code = self._status[:3]
        if code[0] == "1" or code in ("204", "304"):
            self._bodiless = True
        lines = [f"HTTP/1.1 {self._status}", *(f"{name}: {value}" for name, value in self._headers)]
        if "date" not in names:
            lines.append(f"Date: {email.utils.formatdate(usegmt=True)}")
        if "content-length" in names:
            self._left = None if self._bodiless else int(names["content-length"])
        elif not self._bodiless:
            self._chunked = self._http11
            if self._chunked:
                lines.append("Transfer-Encoding: chunked")
        if self.broken or self._close():
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
