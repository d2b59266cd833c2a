"""Reading the body of a request: no longer than a message may be, whole, and unpacked if it is gzip."""

from __future__ import annotations

import zlib
from typing import Any

from fantasm_gcp.local.http.transcoding import bad_request
from fantasm_gcp.local.rpc import MAX_MESSAGE_BYTES, too_long

_GZIP = 16 + zlib.MAX_WBITS


def read_body(environ: dict[str, Any]) -> bytes:
    """The body that a WSGI environment holds, unpacked.

    Raises ``RpcError`` RESOURCE_EXHAUSTED when it is longer than a message may be, packed or unpacked, and
    INVALID_ARGUMENT when it is shorter than announced or not what it claims to be. ``OSError`` when the peer
    stops sending.
    """
    body = _read(environ)
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "x-gzip"):
        return _unpack(body)
    raise bad_request("Content-Encoding must be gzip or identity.")


def _read(environ: dict[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    announced = environ.get("CONTENT_LENGTH") or ""
    if not announced:
        # Only a server that ends the stream by itself, as for chunked bodies, lets it be read to its end.
        body = stream.read(MAX_MESSAGE_BYTES + 1) if environ.get("wsgi.input_terminated") else b""
        if len(body) > MAX_MESSAGE_BYTES:
            raise too_long(len(body))
        return bytes(body)
    if not (announced.isascii() and announced.isdecimal()):
        raise bad_request("Content-Length is not a number.")
    length = int(announced[:20])
    if length > MAX_MESSAGE_BYTES:
        raise too_long(length)
    body = stream.read(length)
    if len(body) < length:
        raise bad_request("The body is shorter than Content-Length says.")
    return bytes(body)


def _unpack(packed: bytes) -> bytes:
    unpacked = bytearray()
    while packed:
        member = zlib.decompressobj(_GZIP)
        try:
            unpacked += member.decompress(packed, MAX_MESSAGE_BYTES + 1 - len(unpacked))
        except zlib.error as error:
            raise bad_request("The body is not gzip.") from error
        if len(unpacked) > MAX_MESSAGE_BYTES:
            raise too_long(len(unpacked))
        if not member.eof:
            raise bad_request("The body is not gzip: it ends too soon.")
        packed = member.unused_data
    return bytes(unpacked)
