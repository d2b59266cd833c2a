"""Who a caller is: ID tokens of Google and assertions of Identity-Aware Proxy, verified.

The signatures are verified by google-auth. What they sign is checked here, because google-auth takes a token
for whatever audience where none is given, knows nothing of accounts, and answers hostile tokens with errors
of many kinds; and because its clock is the machine's.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fantasm_gcp.core.access import Identity
from fantasm_gcp.errors import IdentityError
from fantasm_gcp.gateways.certificates import ES256, RS256, Certificates, Fetch, fetch
from fantasm_gcp.settings import GOOGLE_CERTIFICATES

IAP_KEYS: Final = "https://www.gstatic.com/iap/verify/public_key"

REMOVED_SIGNATURE: Final = "SIGNATURE_REMOVED_BY_GOOGLE"
"""What Cloud Run puts in the place of a signature that it has verified (its troubleshooting page)."""

GCLOUD_AUDIENCE: Final = "32555940559.apps.googleusercontent.com"
"""The audience of a person's token that gcloud makes: its own client. Cloud Run takes it for any service."""

MOST_CHARACTERS: Final = 16 * 1024
"""Of a token; Google's have about one thousand."""

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# ASCII alone: the Kelvin sign becomes a "k" in small letters. No ":" and "/", which stand in the names of
# accounts that are not Google's.
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+=?^_`{|}~-]{1,128}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_LONGEST_EMAIL = 320
_GOOGLE_ACCOUNT = "accounts.google.com:"
_LAST_SECOND = 253402300799  # of the year 9999
_DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a kind of token has to be like; ``skew`` and ``lifetime`` are in seconds."""

    algorithm: str
    issuers: tuple[str, ...]
    skew: int
    lifetime: int
    says_verified: bool


# https://developers.google.com/identity/openid-connect/openid-connect: an hour is usual.
_ID_TOKEN = _Rules(
    RS256, ("https://accounts.google.com", "accounts.google.com"), skew=10, lifetime=_DAY, says_verified=True
)
# https://cloud.google.com/iap/docs/signed-headers-howto, for the skew and the lifetime too. It has no
# email_verified.
_ASSERTION = _Rules(ES256, ("https://cloud.google.com/iap",), skew=30, lifetime=600, says_verified=False)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A token of which nothing is verified."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: str


class Verifier:
    """Verifies what callers show. Safe for many threads; one is needed in each process.

    ``certificates_url`` and ``iap_keys_url`` have a JSON object of PEM certificates or public keys by their
    ids, and are read when first needed. ``clock`` gives seconds of the epoch. Each method raises
    ``IdentityError`` for what proves nothing, and ``UnverifiedError`` where the certificates cannot be read.
    """

    def __init__(
        self,
        certificates_url: str = GOOGLE_CERTIFICATES,
        iap_keys_url: str = IAP_KEYS,
        *,
        clock: Callable[[], float] = time.time,
        fetch: Fetch = fetch,
    ) -> None:
        self._clock = clock
        self._certificates = Certificates(certificates_url, RS256, clock, fetch)
        self._iap_keys = Certificates(iap_keys_url, ES256, clock, fetch)

    def id_token(self, token: str, audience: str) -> Identity:
        """The account that Google has made an ID token for, which is for nobody but ``audience``."""
        parsed = _parse(token)
        if parsed.signature == REMOVED_SIGNATURE:
            raise IdentityError(
                "Cloud Run has taken the token's signature away, as it does for a service that requires "
                "authentication: set FANTASM_VERIFIED_BY=cloud-run, or make the service public"
            )
        return self._verify(parsed, _ID_TOKEN, self._certificates, audience)

    def assertion(self, assertion: str, audience: str) -> Identity:
        """The account that Identity-Aware Proxy has let through to ``audience``."""
        parsed = _parse(assertion)
        identity = self._verify(parsed, _ASSERTION, self._iap_keys, audience)
        # IAP lets external and workforce identities through as well, whose addresses others have chosen.
        subject = parsed.claims.get("sub")
        if not isinstance(subject, str) or not subject.startswith(_GOOGLE_ACCOUNT):
            raise IdentityError(f"its subject {_shown(subject)} is no account of Google")
        return identity

    def verified_elsewhere(self, token: str, audience: str) -> Identity:
        """The account of a token that Cloud Run has verified, and taken the signature of.

        A person's token may be for gcloud instead of ``audience``. A token with a signature is verified as
        :meth:`id_token` does. This proves something only of the header that Cloud Run has looked at, in a
        service that requires authentication: anybody can write such a token.
        """
        parsed = _parse(token)
        if parsed.signature != REMOVED_SIGNATURE:
            return self.id_token(token, audience)
        _check_header(parsed.header, _ID_TOKEN)
        return _check_claims(parsed.claims, _ID_TOKEN, audience, self._clock(), of_gcloud=True)

    def _verify(self, parsed: _Parsed, rules: _Rules, keys: Certificates, audience: str) -> Identity:
        """All but the signature first: only a token that is otherwise good makes keys be fetched."""
        name = _check_header(parsed.header, rules)
        identity = _check_claims(parsed.claims, rules, audience, self._clock())
        key = keys.find(name)
        if key is None:
            raise IdentityError(f"it is signed with a key that is not known: {_shown(name)}")
        if not key.verify(parsed.signed, _decode(parsed.signature)):
            raise IdentityError("its signature is wrong")
        return identity


def _parse(token: str) -> _Parsed:
    if len(token) > MOST_CHARACTERS:
        raise IdentityError(f"it is longer than {MOST_CHARACTERS} characters")
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise IdentityError("it is not a header, claims and a signature in base64url with dots between them")
    header, claims, signature = parts.groups()
    return _Parsed(
        _object(header, "header"), _object(claims, "claims"), f"{header}.{claims}".encode(), signature
    )


def _decode(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise IdentityError("a part of it is not base64url") from None


def _object(part: str, name: str) -> dict[str, Any]:
    """Strictly: what two readers could read in two ways is refused."""
    try:
        found = json.loads(_decode(part).decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise IdentityError(f"its {name} cannot be read as JSON") from None
    if not isinstance(found, dict):
        raise IdentityError(f"its {name} cannot be read as a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(text)


def _check_header(header: dict[str, Any], rules: _Rules) -> str:
    """The id of the key that is to be verified with; keys and URLs in the header are not looked at."""
    if header.get("alg") != rules.algorithm:
        raise IdentityError(f"it is signed by {_shown(header.get('alg'))} and not by {rules.algorithm}")
    if "crit" in header:
        raise IdentityError("its header asks for extensions")
    name = header.get("kid")
    if not isinstance(name, str) or not name:
        raise IdentityError("its header names no key")
    return name


def _check_claims(
    claims: dict[str, Any], rules: _Rules, audience: str, now: float, *, of_gcloud: bool = False
) -> Identity:
    """The account of the claims; ``of_gcloud`` takes a person's token for gcloud as well."""
    if claims.get("iss") not in rules.issuers:
        raise IdentityError(f"its issuer is {_shown(claims.get('iss'))}")
    _check_times(claims, rules, now)
    email = _email(claims)
    if rules.says_verified and claims.get("email_verified") is not True:
        raise IdentityError(f"the address {email} is not verified")
    if not audience:
        raise IdentityError("nothing says for whom a token has to be")
    identity = Identity(email, _domain(claims))
    is_for_gcloud = of_gcloud and not identity.is_service_account
    audiences = (audience, GCLOUD_AUDIENCE) if is_for_gcloud else (audience,)
    if claims.get("aud") not in audiences:
        raise IdentityError(f"it is for {_shown(claims.get('aud'))} and not for {_shown(audience)}")
    return identity


def _check_times(claims: dict[str, Any], rules: _Rules, now: float) -> None:
    issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
    begins = _seconds(claims, "nbf") if "nbf" in claims else issued
    early, late = max(issued, begins) - now, now - expires
    if early > rules.skew:
        raise IdentityError(f"it is good in {early:.0f} seconds only: is this machine's clock right?")
    if late >= rules.skew:
        raise IdentityError(f"it expired {late:.0f} seconds ago")
    if expires - issued > rules.lifetime + 2 * rules.skew:
        raise IdentityError(f"it lasts longer than {rules.lifetime} seconds")


def _seconds(claims: dict[str, Any], name: str) -> int:
    found = claims.get(name)
    if type(found) is not int or not 0 <= found <= _LAST_SECOND:  # True is an int to isinstance
        raise IdentityError(f"its {name} is no time")
    return found


def _email(claims: dict[str, Any]) -> str:
    found = claims.get("email")
    if not isinstance(found, str) or len(found) > _LONGEST_EMAIL or not _EMAIL.fullmatch(found):
        raise IdentityError(f"its email is {_shown(found)}")
    return found.lower()


def _domain(claims: dict[str, Any]) -> str:
    """The organization that has the account, as Google says in ``hd``: an address alone does not prove it."""
    found = claims.get("hd")
    return found.lower() if isinstance(found, str) and found.isascii() else ""


def _shown(value: object) -> str:
    """What a stranger wrote, for a line of a log."""
    return ascii(value[:80]) if isinstance(value, str) else f"of type {type(value).__name__}"
