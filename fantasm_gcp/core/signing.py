"""Signing what is posted, so that its receiver knows who sent it: as Standard Webhooks has it, version 1."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

LEAST_BYTES = 24
"""The shortest key: what the specification asks for (192 bits)."""

_PREFIX = "whsec_"


def parse_keys(secret: str) -> tuple[bytes, ...]:
    """The keys that secrets with spaces between them stand for.

    A secret is ``whsec_`` and the key in base64, or a plain text whose UTF-8 bytes are the key. Raises
    ``ValueError``, whose text has nothing of a secret in it.
    """
    keys = []
    for number, each in enumerate(secret.split(), 1):
        key = _key(each, number)
        if len(key) < LEAST_BYTES:
            raise ValueError(
                f"secret {number} has {len(key)} bytes, and at least {LEAST_BYTES} are needed: "
                "docs/webhooks.md has a command that makes one"
            )
        keys.append(key)
    return tuple(keys)


def signatures(keys: Iterable[bytes], delivery: str, timestamp: int, body: bytes) -> str:
    """The value of the header ``webhook-signature``: one signature for each key, with spaces between them.

    ``timestamp`` is in seconds of the epoch.
    """
    signed = f"{delivery}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(each).decode()}" for each in digests)


def _key(secret: str, number: int) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:  # its text is not passed on: a message may quote what it is about
        raise ValueError(f"secret {number} begins with {_PREFIX}, and what follows is not base64") from None
