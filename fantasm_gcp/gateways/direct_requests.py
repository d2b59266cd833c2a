"""One GET of something small: from the host itself, to an end, and with nothing of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import requests
from urllib3.exceptions import HTTPError

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; ``headers`` are found in any case of letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def get(url: str, *, headers: Mapping[str, str], timeout: tuple[float, float], most: int) -> Answer:
    """Gets once. A redirect is an answer like any other and is not followed.

    ``timeout`` is in seconds: for the connection, and for each next piece of the answer. ``most`` is in
    bytes. Of the environment no proxy, netrc or certificates are taken: whoever answers decides who is let
    in. Raises ``ConnectionError`` where no whole answer of at most that size came.
    """
    asked = {"Accept-Encoding": "identity", **headers}  # what is packed could be large when it is unpacked
    try:
        with requests.Session() as session:
            session.trust_env = False
            with session.get(
                url, headers=asked, timeout=timeout, allow_redirects=False, stream=True
            ) as answer:
                content = _read(answer, most)
                return Answer(answer.status_code, answer.headers, content)
    except (requests.RequestException, HTTPError) as error:
        raise ConnectionError(f"{type(error).__name__}: {error}"[:_LONGEST_REASON]) from error


def _read(answer: requests.Response, most: int) -> bytes:
    """The body as it came. Only a read past the end tells one that is whole from one that was cut off."""
    content = b""
    while piece := answer.raw.read(most + 1 - len(content), decode_content=False):
        content += piece
        if len(content) > most:
            raise ConnectionError(f"the answer is larger than {most} bytes")
    return content
