"""HTTP/1.1 over one accepted socket: request after request goes to a WSGI application.

The standard library parses request lines and headers. What is here is what its server and werkzeug's leave
out: connections that stay open (werkzeug closes after each answer), and a peer that sends slowly, lies about
the length of its body, or goes away.
"""

from __future__ import annotations

import io
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from fantasm_gcp.local.http.response import ResponseWriter
from fantasm_gcp.local.http.statuses import JSON, render_json_error
from fantasm_gcp.local.http.streams import (
    ChunkedBody,
    MalformedBodyError,
    SizedBody,
    SlowPeerError,
    SocketReader,
)

log = logging.getLogger("fantasm_gcp.local.http")

_DRAINED_BYTES: Final = 256 * 1024

# The library takes such a line and all that follow it for a body, their Content-Length too.
_MALFORMED = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    408: "DEADLINE_EXCEEDED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    505: "UNIMPLEMENTED",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a peer is given: for its first bytes, between two requests, until the headers of a
    request are there, for a body and for each piece of an answer, and to go away after the last answer.

    While others wait for a connection, headers must be there within ``prompt``.
    """

    first_bytes: float = 30.0
    idle: float = 75.0
    headers: float = 20.0
    prompt: float = 1.0
    body: float = 120.0
    linger: float = 2.0


class Connection(BaseHTTPRequestHandler):
    """Serves one socket until it ends; ``already`` are bytes that were read from it before.

    ``idle`` is true between two requests, when nothing is lost by ending the connection with :meth:`end`, and
    ``idle_since`` says since when, by the monotonic clock. ``reading_since`` is when the first byte of a
    request came whose headers are not there yet, None at other times; ``ending`` is true once it was told to
    end.
    """

    protocol_version = "HTTP/1.1"

    def __init__(
        self,
        sock: socket.socket,
        already: bytes,
        app: Callable[..., Iterable[bytes]],
        address: tuple[str, int],
        patience: Patience,
    ) -> None:
        # Not that of the base class, which would serve within the constructor.
        self.connection = self.request = sock
        self.client_address = sock.getpeername()
        self._app = app
        self._address = address
        self._patience = patience
        self._reader = SocketReader(sock, already)
        self._stream: io.BufferedReader = io.BufferedReader(self._reader, 64 * 1024)
        self.rfile = self._stream
        self.wfile = _SocketWriter(sock, patience.body)
        self.idle = True
        self.idle_since = time.monotonic()
        self.reading_since: float | None = None
        self.close_connection = True
        self.ending = False

    def serve(self) -> None:
        """Serves requests until the peer, :meth:`end` or an error ends the connection, and closes it."""
        try:
            self.close_connection = False
            while not (self.close_connection or self.ending):
                self.handle_one_request()
        except OSError as error:
            log.debug("%s: %s", self.client_address, error)
        finally:
            with suppress(OSError):
                self.connection.close()

    def end(self, *, at_once: bool = True) -> None:
        """Ends the connection from another thread: at once, or after the request it is at. Idempotent."""
        self.ending = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR if at_once or self.idle else socket.SHUT_RD)

    def handle_one_request(self) -> None:
        """Reads one request and has it answered."""
        self.idle_since, self.idle, self.reading_since = time.monotonic(), True, None
        self._reader.deadline = self.idle_since + self._patience.idle
        if not self._stream.peek(1):
            self.close_connection = True
            return
        self.idle, self.reading_since = False, time.monotonic()
        self._reader.deadline = self.reading_since + self._patience.headers
        self.command = self.requestline = self.request_version = ""
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if len(self.raw_requestline) > 65536:
                self.send_error(414)
                return
            if not self.raw_requestline.strip():
                return  # a stray empty line before a request, which RFC 9112 wants ignored
            if not self.parse_request():
                return
            if self._reader.ended:  # which the library takes for the empty line behind the last header
                self.send_error(400, "The request ends within its headers.")
                return
            if any(isinstance(defect, _MALFORMED) for defect in self.headers.defects):
                self.send_error(400, "A line among the headers is none.")
                return
        except SlowPeerError:
            self.send_error(408)
            return
        self.reading_since = None
        self._reader.deadline = time.monotonic() + self._patience.body
        body = self._body()
        if body is not None:
            self._answer(body)

    def _body(self) -> SizedBody | ChunkedBody | None:
        """The body of the request; None when its framing is in doubt, which is answered already."""
        lengths = {each.strip() for each in self.headers.get_all("Content-Length", [])}
        coding = ",".join(self.headers.get_all("Transfer-Encoding", [])).strip().lower()
        if coding:
            if lengths or self.request_version == "HTTP/1.0":
                self.send_error(400, "Transfer-Encoding does not go with Content-Length or HTTP/1.0.")
            elif coding != "chunked":
                self.send_error(501, "The only Transfer-Encoding served is chunked.")
            else:
                return ChunkedBody(self._stream)
            return None
        length = lengths.pop() if lengths else "0"
        if lengths or not (length.isascii() and length.isdecimal() and len(length) < 16):
            self.send_error(400, "Content-Length is not a number.")
            return None
        return SizedBody(self._stream, int(length))

    def _answer(self, body: SizedBody | ChunkedBody) -> None:
        environ = self._environ(body)
        if environ is None:
            self.send_error(400, "The request target is no path.")
            return
        unread = body.left if isinstance(body, SizedBody) else 0
        if unread > _DRAINED_BYTES:
            self.close_connection = (
                True  # decided before the headers go out; an answer may come before the body
            )
        writer = ResponseWriter(
            self.wfile,
            head=self.command == "HEAD",
            http11=self.request_version != "HTTP/1.0",
            close=lambda: self.close_connection or self.ending,
        )
        chunks: Iterable[bytes] = ()
        try:
            chunks = self._app(environ, writer.start)
            for chunk in chunks:
                writer.write(chunk)
            writer.finish()
        except (SlowPeerError, MalformedBodyError) as error:
            if writer.begun:
                raise
            self.send_error(400 if isinstance(error, MalformedBodyError) else 408, f"{error}.")
            return
        except ConnectionError:
            raise
        except Exception:
            log.exception("%s: the application failed", self.requestline)
            if writer.begun:
                self.close_connection = True
                return
            self.send_error(500, "Internal error encountered.")
            return
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        if writer.broken:
            self.close_connection = True
        self._finish_body(body)

    def _finish_body(self, body: SizedBody | ChunkedBody) -> None:
        """Reads past what the application left of the body, so that the next request begins where it should.

        A peer that still sends when its connection is closed may lose the answer: it is given a moment.
        """
        if self.close_connection or self.ending:
            self._linger()
            return
        left = _DRAINED_BYTES + 1
        while left > 0 and (read := body.read(min(left, 64 * 1024))):
            left -= len(read)
        if left <= 0:
            self.close_connection = True
            self._linger()

    def _linger(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self._reader.deadline = time.monotonic() + self._patience.linger
            while self._stream.read1(64 * 1024):
                pass

    def _environ(self, body: SizedBody | ChunkedBody) -> dict[str, Any] | None:
        target = self.path
        if not target.startswith("/"):  # the absolute form, which proxies send
            scheme, mark, rest = target.partition("://")
            if not mark or scheme.lower() not in ("http", "https"):
                return None
            target = "/" + rest.partition("/")[2]
        path, _, query = target.partition("#")[0].partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
            "QUERY_STRING": query,
            "REQUEST_URI": target,
            "RAW_URI": target,
            "SERVER_NAME": self._address[0],
            "SERVER_PORT": str(self._address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": str(self.client_address[0]),
            "REMOTE_PORT": str(self.client_address[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BufferedReader(body, 64 * 1024),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            if "_" in name:
                continue  # another spelling of a header that a proxy may have set
            key = name.upper().replace("-", "_")
            if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                environ[key] = value.strip()
            else:
                key = f"HTTP_{key}"
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        if self.request_version == "HTTP/1.0":
            # It may go without, as checks of load balancers do; browsers, whom names are told by, never do.
            host, port = self._address
            environ.setdefault("HTTP_HOST", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        return environ

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002  # the base class's signature
        """Refuses what cannot be read as a request, in Google's JSON form, and ends the connection."""
        self.close_connection = True
        phrase = self.responses.get(code, ("Error", ""))[0]
        body = render_json_error(code, message or phrase, _STATUS_NAMES.get(code, "INVALID_ARGUMENT"))
        writer = ResponseWriter(self.wfile, head=self.command == "HEAD", http11=True, close=lambda: True)
        writer.start(f"{code} {phrase}", [("Content-Type", JSON), ("Content-Length", str(len(body)))])
        with suppress(OSError):
            writer.write(body)
            writer.finish()
        self._linger()

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s: " + format, self.client_address, *args)


class _SocketWriter(io.BufferedIOBase):
    """Writes all of what it is given; each piece must be taken within a time."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._sock.settimeout(self._seconds)
        try:
            self._sock.sendall(piece)
        except TimeoutError as error:
            raise SlowPeerError("the peer took an answer too slowly") from error
        return len(piece)
