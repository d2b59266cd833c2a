"""One POST over one connection: to an address that was checked, and to an end in a bounded time.

``requests`` and ``urllib3`` look hosts up themselves. So here they are given connections that are made
already: the host is looked up once, every address is checked, and what was checked is what is connected to.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from fantasm_gcp.core.endpoints import Endpoint

MOST_READ = 4096
"""Bytes of an answer's body that are read: nobody looks at them, but senders like to see them gone."""

MOST_ADDRESSES = 3
"""How many addresses of a host are tried, one after the other, until one takes the connection."""

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Patience:
    """Most seconds that are waited: for a connection to one address, for each next piece of the answer, and
    for the whole from the first connection on. Looking the host up takes what the system allows for it.
    """

    connect: float = 5.0
    read: float = 15.0
    whole: float = 30.0


def send(
    endpoint: Endpoint,
    headers: Mapping[str, str],
    body: bytes,
    *,
    addresses: Callable[[], Sequence[str]],
    patience: Patience,
    authorities: str | None,
) -> int:
    """Posts once and answers the status, as it came: a redirect is not followed.

    ``addresses`` gives the host's addresses that may be connected to; it is called once. ``authorities`` is
    a file of certificates to trust instead of the usual ones. Nothing is taken from the environment: no
    proxy, no netrc, no certificates. An answer counts from its headers on, whatever becomes of its body.
    Raises ``ConnectionError`` where there is none.
    """
    with requests.Session() as session, _Line(endpoint, addresses, patience) as line:
        session.trust_env = False
        session.headers.clear()
        adapter = _CheckedAdapter(line.dial)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        try:
            with session.post(
                endpoint.url,
                data=body,
                headers=dict(headers),
                timeout=(patience.connect, patience.read),
                allow_redirects=False,
                stream=True,
                verify=authorities or True,
            ) as answer:
                with suppress(HTTPError, OSError):
                    answer.raw.read(MOST_READ, decode_content=False)
                return answer.status_code
        except (requests.RequestException, HTTPError) as error:
            # Their own texts tell the path and the query, which need not be in every log.
            raise ConnectionError(f"{endpoint.authority}: {line.reason or _reason_of(error)}") from None


def _reason_of(error: BaseException) -> str:
    """What went wrong in the first place: the libraries wrap it several times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"[:_LONGEST_REASON]


class _Line:
    """The connections of one request: made to checked addresses, cut when the time is over.

    A timeout of a socket bounds each wait for it; one that sends a byte now and then would keep its worker.
    """

    def __init__(
        self, endpoint: Endpoint, addresses: Callable[[], Sequence[str]], patience: Patience
    ) -> None:
        self._endpoint = endpoint
        self._addresses = addresses
        self._patience = patience
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer: threading.Timer | None = None
        self._is_cut = False
        self.reason = ""
        """Why there is no connection, or no longer; empty where that is not known here."""

    def dial(self) -> socket.socket:
        """Connects to the first of the addresses that takes a connection; raises ``OSError``.

        Whichever host and port the libraries make of the URL, it is the endpoint's that is connected to.
        """
        try:
            addresses = self._addresses()[:MOST_ADDRESSES]
        except OSError as error:
            self.reason = str(error) or type(error).__name__
            raise
        self._timer = threading.Timer(self._patience.whole, self._cut)
        self._timer.daemon = True
        self._timer.start()
        failures = []
        for address in addresses:
            try:
                connected = socket.create_connection((address, self._endpoint.port), self._patience.connect)
            except OSError as error:
                failures.append(f"{address}: {error}")
            else:
                return self._watch(connected)
        self.reason = "no connection to " + ("; ".join(failures) or "a host without addresses")
        raise ConnectionError(self.reason)

    def _watch(self, connected: socket.socket) -> socket.socket:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A second handle: TLS takes the first one over, and shutting this one down ends both.
        with self._lock:
            if not self._is_cut:
                self._watched.append(connected.dup())
                return connected
        connected.close()
        raise TimeoutError(self.reason)

    def _cut(self) -> None:
        self.reason = f"no answer within {self._patience.whole:g} seconds"
        with self._lock:
            self._is_cut = True
            for each in self._watched:
                with suppress(OSError):  # it may have ended by itself
                    each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            while self._watched:
                self._watched.pop().close()


class _CheckedAdapter(HTTPAdapter):
    """Has ``dial`` make the connections. Nothing is tried again here: that is the queue's."""

    def __init__(self, dial: Callable[[], socket.socket]) -> None:
        self._pools = _pools(dial)
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools


def _pools(dial: Callable[[], socket.socket]) -> dict[str, type[HTTPConnectionPool]]:
    """Pools whose connections are dialled. ``_new_conn`` is where urllib3 makes its own: a test pins it."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dial()

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
