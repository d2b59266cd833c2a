"""The metadata server of App Engine and Cloud Run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from fantasm_gcp.errors import UnverifiedError
from fantasm_gcp.gateways.direct_requests import Answer, get

TIMEOUT: Final = (1.0, 2.0)
"""Seconds for a connection and for an answer: App Engine's documentation has one to two."""

PAUSES: Final = (0.1, 0.4)
"""Seconds before each further attempt: the server may be up a moment later than this process."""

MOST_BYTES: Final = 4096
"""Of a value: projects, regions and accounts are far smaller."""

_FLAVOR = "Metadata-Flavor"
_GOOGLE = "Google"


class Metadata:
    """Asks the metadata server of the machine that this runs on; each value once. Safe for many threads.

    ``host`` is the host, with a port where that is not 80. ``sleep`` waits for so many seconds.
    """

    def __init__(self, host: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url = f"http://{host}/computeMetadata/v1/"
        self._sleep = sleep
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}

    def find(self, path: str) -> str:
        """The value at a path below ``computeMetadata/v1/``; empty where there is none.

        That there is none is not kept: it is asked for again. Raises ``UnverifiedError`` where the server
        does not answer in three attempts, or where what answers is not the metadata server.
        """
        with self._lock:
            if path not in self._known:
                value = self._ask(path)
                if not value:
                    return ""
                self._known[path] = value
            return self._known[path]

    def _ask(self, path: str) -> str:
        answer = self._answer(path)
        # Whoever has taken its name or its address does not send this.
        if answer.headers.get(_FLAVOR) != _GOOGLE:
            raise _unread(path, f"what answers is not it, for it sends no {_FLAVOR}: {_GOOGLE}")
        if answer.status == 404:
            return ""
        if answer.status != 200:
            raise _unread(path, f"it answers {answer.status}")
        try:
            value = answer.content.decode().strip()
        except UnicodeDecodeError as error:
            raise _unread(path, "its answer is no text") from error
        if value and not value.isprintable():
            raise _unread(path, "its answer is more than one line")
        return value

    def _answer(self, path: str) -> Answer:
        for pause in PAUSES:
            try:
                return self._attempt(path)
            except ConnectionError:
                self._sleep(pause)
        try:
            return self._attempt(path)
        except ConnectionError as error:
            raise _unread(path, str(error)) from error

    def _attempt(self, path: str) -> Answer:
        answer = get(self._url + path, headers={_FLAVOR: _GOOGLE}, timeout=TIMEOUT, most=MOST_BYTES)
        if answer.status >= 500:
            raise ConnectionError(f"it answers {answer.status}")
        return answer


def _unread(path: str, why: str) -> UnverifiedError:
    return UnverifiedError(f"the metadata server does not say {path}: {why}")
