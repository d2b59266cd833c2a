"""A server on this machine that keeps what it is sent and answers whatever bytes it is told to."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class RawReceiver:
    """Takes connections until it is closed. ``requests`` has what came over each, once it is answered.

    ``answer`` is sent after the request, or called with the connection; ``context`` is for TLS.
    """

    def __init__(
        self,
        answer: bytes | Callable[[socket.socket], None] = NO_CONTENT,
        *,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.requests: list[bytes] = []
        self.answered = threading.Event()
        """That one connection came to its end."""
        self._answer = answer
        self._context = context
        self._is_closing = False
        self._live: socket.socket | None = None
        self._listening = socket.create_server((host, 0), family=family)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                if self._is_closing:
                    return
                connection.settimeout(10)
                with connection.dup() as self._live:  # TLS takes the connection itself over
                    self._take(connection)
            self.answered.set()

    def _take(self, connection: socket.socket) -> None:
        with suppress(OSError):  # the other side went away, or did not like the certificate
            if self._context is None:
                self._exchange(connection)
            else:
                with self._context.wrap_socket(connection, server_side=True) as wrapped:
                    self._exchange(wrapped)

    def _exchange(self, connection: socket.socket) -> None:
        self.requests.append(_request_from(connection))
        if isinstance(self._answer, bytes):
            connection.sendall(self._answer)
        else:
            self._answer(connection)

    def __enter__(self) -> RawReceiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing = True
        if self._live is not None:
            with suppress(OSError):  # it has ended by itself
                self._live.shutdown(socket.SHUT_RDWR)
        socket.create_connection(self._listening.getsockname()[:2], 10).close()  # wakes the thread up
        self._thread.join()
        self._listening.close()


def _request_from(connection: socket.socket) -> bytes:
    """Everything up to the end of the body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _next_of(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        each.split(b":")[1] for each in head.split(b"\r\n") if each.lower().startswith(b"content-length:")
    ]
    while len(body) < sum(map(int, lengths)):  # a GET has none
        body += _next_of(connection)
    return head + b"\r\n\r\n" + body


def _next_of(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    if not piece:
        raise OSError("the connection ended in the middle of a request")
    return piece


def headers_of(request: bytes) -> dict[str, str]:
    """The headers of a request, by their names in lower case; each name comes once."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs)
    return headers


def endless(piece: bytes) -> Callable[[socket.socket], None]:
    """An answer that goes on until nobody listens any longer."""

    def answer(connection: socket.socket) -> None:
        while True:
            connection.sendall(piece)

    return answer


class Authority:
    """An authority for certificates, of this test alone. ``file`` has what to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of tests")])
        made = self._made(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = made.add_extension(usage, critical=True)
        made = made.add_extension(self._identifier(), critical=False)
        self.file = folder / "authority.pem"
        self.file.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def context_for(self, host: str) -> ssl.SSLContext:
        """What a server needs to be that host."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a receiver")])
        made = self._made(subject, key).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
        )
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier()), critical=False
        )
        file = self._folder / f"{host}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _identifier(self) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())

    def _made(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
