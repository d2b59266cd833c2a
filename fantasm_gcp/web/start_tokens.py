"""Start tokens: signed leave to start one machine once, with the arguments that are in the token.

A token is a URL's argument or a form's field, so it can be sent to somebody who has no account here. What is
in it can be read by whoever has it, and changed by nobody.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from flask import Request
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.exceptions import BadRequest, Forbidden

from fantasm_gcp.core.definition import AT_LEAST_ONCE, Machine
from fantasm_gcp.core.headers import PREFIX
from fantasm_gcp.core.signing import parse_keys
from fantasm_gcp.errors import IdentityError, SettingsError, StartError
from fantasm_gcp.web.arguments import CSRF_ARGUMENT, KEY_HEADER, StartRequest, check_names

TOKEN_ARGUMENT: Final = "__token"  # noqa: S105  the argument's name
DEFAULT_EXPIRES: Final = 3600.0
MOST_EXPIRES: Final = 10 * 24 * 3600
"""Seconds that a token may be good for: no longer than the scrubber keeps the instance of a key at least,
else a replay would start another one.
"""

MOST_UNRECORDED: Final = 3600
"""The same for a machine that keeps no records: Cloud Tasks knows the name of a task for an hour at least."""

LONGEST: Final = 3500
"""Characters of a token: gunicorn reads 4,094 bytes of a request's first line."""

FORM_LIMIT: Final = 16 * 1024
"""Bytes of a form in which a token is looked for. One that has a token has little else."""

_SALT: Final = "fantasm_gcp.start.v1"
_TEXT: Final = re.compile(r"[A-Za-z0-9_.-]+")
_NONCE: Final = re.compile(r"[\x21-\x7e]{1,500}")


@dataclass(frozen=True, slots=True)
class StartGrant:
    """What a token grants: one start of a machine with this context, until ``expires``, in seconds of the
    epoch. The ``nonce`` is the start's idempotency key.
    """

    machine: str
    context: Mapping[str, Any]
    nonce: str
    expires: int


def make_start_token(
    secret: str,
    machine: str,
    context: Mapping[str, Any],
    *,
    expires: float = DEFAULT_EXPIRES,
    now: float,
    nonce: str | None = None,
    most: float = MOST_EXPIRES,
) -> str:
    """A token for one start of a machine, good for so many seconds from ``now`` on, ``most`` of them.

    The first of several secrets signs. Tokens with the same machine and nonce start the same instance;
    without a nonce each token has its own.

    Raises ``SettingsError`` without a secret of enough bytes, and ``StartError`` for a context that JSON
    would change, a reserved name, a nonce that cannot be a key, a token that would be too long and one that
    would be good for longer.
    """
    if not math.isfinite(expires) or expires > most:
        raise StartError(f"a start token of machine {machine!r} is good for {most:,} seconds at most")
    nonce = secrets.token_hex(16) if nonce is None else nonce
    if not _NONCE.fullmatch(nonce):
        raise StartError("the nonce of a start token is 1 to 500 printable ASCII characters")
    content = {"m": machine, "c": _checked(context), "n": nonce, "e": math.ceil(now + expires)}
    token = _serializer(secret).dumps(content)
    text = token if isinstance(token, str) else token.decode("ascii")
    if len(text) > LONGEST:
        raise StartError(
            f"a start token has {LONGEST} characters at most, this one {len(text)}: "
            "store what is large as an entity and put its key into the context"
        )
    return text


def longest_life(machine: Machine) -> int:
    """Seconds that a token may be good for, so that a replay starts nothing: see ``MOST_EXPIRES``."""
    return MOST_UNRECORDED if machine.guarantee == AT_LEAST_ONCE else MOST_EXPIRES


def read_start_token(secret: str, token: str, now: float) -> StartGrant:
    """What a token grants. Raises ``IdentityError`` for one that was not made here, or has expired, and
    ``SettingsError`` for a secret that cannot be used.
    """
    if not secret.strip():
        raise IdentityError("a start token was sent, and FANTASM_START_SECRET is not set")
    if len(token) > LONGEST or not _TEXT.fullmatch(token):
        raise IdentityError("the start token is none: it is too long, or has other characters")
    serializer = _serializer(secret)
    try:
        content = serializer.loads(token)
        grant = StartGrant(content["m"], content["c"], content["n"], content["e"])
    except (BadData, LookupError, TypeError, ValueError, RecursionError) as error:
        raise IdentityError("the start token was not made here") from error
    found = (grant.machine, grant.context, grant.nonce, grant.expires)
    if tuple(map(type, found)) != (str, dict, str, int):
        raise IdentityError("the start token is signed, and was not made by this library")
    if now >= grant.expires:
        raise IdentityError("the start token has expired")
    return grant


def token_of(request: Request) -> str | None:
    """The start token of a request: an argument of its URL, or a field of a small form."""
    token = request.args.get(TOKEN_ARGUMENT)
    if token is not None or request.method != "POST":
        return token
    is_form = request.mimetype == "application/x-www-form-urlencoded"
    if not is_form or not 0 < (request.content_length or 0) <= FORM_LIMIT:
        return None
    return request.form.get(TOKEN_ARGUMENT)


def read_granted(request: Request, machine: str, grant: StartGrant) -> StartRequest:
    """The start that a token grants, as it was when the token was made: a request adds nothing to it.

    Raises ``Forbidden`` for another machine, and ``BadRequest`` for a request with other arguments, a body of
    another kind, or headers that say how to start.
    """
    if machine != grant.machine:
        raise Forbidden(f"this start token is for machine {grant.machine!r}")
    request.max_content_length = request.max_form_memory_size = FORM_LIMIT
    names = {*request.args, *request.form, *request.files} - {TOKEN_ARGUMENT, CSRF_ARGUMENT}
    tokens = [*request.args.getlist(TOKEN_ARGUMENT), *request.form.getlist(TOKEN_ARGUMENT)]
    if names or len(set(tokens)) != 1:
        raise BadRequest("a start with a token has the arguments that are in it, and no others")
    if not request.form and request.get_data(cache=True):
        raise BadRequest("a start with a token has no body, or a form with the token")
    said = [name for name in request.headers.keys() if name.title().startswith(PREFIX)]  # noqa: SIM118
    if said or KEY_HEADER in request.headers:
        raise BadRequest(f"a start with a token takes no {KEY_HEADER} and no {PREFIX}* headers")
    return StartRequest(dict(grant.context), "POST", grant.nonce, (), immediate=False)


def start_path(root: str, machine: str, token: str) -> str:
    """The path, with its query, that starts a machine by a token."""
    return f"{root}/fsm/{machine}/?{urlencode({TOKEN_ARGUMENT: token})}"


def _checked(context: Mapping[str, Any]) -> dict[str, Any]:
    """A context that comes out of JSON as it goes in."""
    given = dict(context)
    if not all(isinstance(name, str) for name in given):
        raise StartError("the names of a context are text")
    check_names(given)
    try:
        text = json.dumps(given, ensure_ascii=False, allow_nan=False)
        text.encode()
        if json.loads(text) == given:
            return given
    except (TypeError, ValueError, RecursionError) as error:
        raise StartError(f"this context cannot be in a start token: {error}") from error
    raise StartError("a start token takes text, numbers, booleans, null, lists and dicts with names of text")


def _serializer(secret: str) -> URLSafeSerializer:
    try:
        keys = parse_keys(secret)
    except ValueError as error:
        raise SettingsError(f"FANTASM_START_SECRET cannot be used: {error}") from error
    if not keys:
        raise SettingsError("start tokens need FANTASM_START_SECRET, which is not set")
    # itsdangerous signs with the last of its keys.
    signing = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(list(reversed(keys)), salt=_SALT, signer_kwargs=signing)
