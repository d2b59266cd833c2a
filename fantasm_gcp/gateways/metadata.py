"""The metadata server of App Engine and Cloud Run."""

from __future__ import annotations

from collections.abc import Callable

import requests

from fantasm_gcp.errors import UnverifiedError

TIMEOUT = 2.0


class Metadata:
    """Asks the metadata server of the machine that this runs on; each value once."""

    def __init__(self, host: str, get: Callable[..., requests.Response] = requests.get) -> None:
        self._url = f"http://{host}/computeMetadata/v1/"
        self._get = get
        self._known: dict[str, str] = {}

    def find(self, path: str) -> str:
        """The value at a path; raises ``UnverifiedError`` where there is no answer."""
        if path not in self._known:
            try:
                answer = self._get(self._url + path, headers={"Metadata-Flavor": "Google"}, timeout=TIMEOUT)
                answer.raise_for_status()
            except requests.RequestException as error:
                raise UnverifiedError(f"the metadata server does not say {path}: {error}") from error
            self._known[path] = answer.text
        return self._known[path]
