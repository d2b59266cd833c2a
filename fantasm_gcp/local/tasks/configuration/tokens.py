"""The tokens with which Cloud Tasks shows a worker who sends: signed for real, with a key of this run.

A worker verifies them with the code that it has in production, and only the URL of the certificates
differs. The key is nobody's credential: it is made anew for every :class:`Issuer`, and whoever can reach
the local server can have a token signed with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

GOOGLE_ISSUER: Final = "https://accounts.google.com"
"""The issuer of the real service's tokens, and the only URL that ``verify_oauth2_token`` takes for one."""

LIFETIME: Final = 3600
"""Seconds for which a token is valid, as for the real service."""

_KEY_BITS = 2048
_PUBLIC_EXPONENT = 65537
_SUBJECT_DIGITS = 21  # of the number that a real service account has
_CERTIFICATE_DAYS = 365


@dataclass(frozen=True, slots=True)
class OidcToken:
    """What ``oidc_token`` asks for: an ID token of a service account for an audience."""

    email: str
    audience: str


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """What ``oauth_token`` asks for: an access token of a service account for a scope."""

    email: str
    scope: str


Token: TypeAlias = OidcToken | OAuthToken
"""What a delivery's Authorization header is to prove; it is made when the delivery is sent."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A private key, the id that tokens name it by, and the certificate that shows its public half."""

    private: rsa.RSAPrivateKey
    id: str
    certificate: str


class Issuer:
    """Signs tokens with an RS256 key of its own; safe for many threads.

    ``name`` is the claim ``iss``. ``clock`` gives seconds of the epoch: it is the real time and not that of
    the queues, which may be moved ahead, because a worker verifies by its own clock. The key is made when it
    is first needed, which takes a tenth of a second.
    """

    def __init__(self, name: str = GOOGLE_ISSUER, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._made: _Key | None = None

    def authorize(self, headers: Mapping[str, str], token: Token | None) -> Mapping[str, str]:
        """Headers with the Authorization that ``token`` asks for, or as they are without one.

        It takes the place of one that the task gave itself: the API reference has it that a token overrides
        all Authorization headers.
        """
        if token is None:
            return headers
        kept = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        made = self.id_token(token) if isinstance(token, OidcToken) else self.access_token()
        return {**kept, "Authorization": f"Bearer {made}"}

    def id_token(self, token: OidcToken) -> str:
        """A signed OpenID Connect token, valid for an hour from now on, with the claims of the real one."""
        key = self._key()
        issued = int(self._clock())
        subject = _subject(token.email)
        claims = {
            "aud": token.audience,
            "azp": subject,
            "email": token.email,
            "email_verified": True,
            "exp": issued + LIFETIME,
            "iat": issued,
            "iss": self.name,
            "sub": subject,
        }
        signed = f"{_encode_json({'alg': 'RS256', 'kid': key.id, 'typ': 'JWT'})}.{_encode_json(claims)}"
        signature = key.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}"

    def access_token(self) -> str:
        """An opaque text in the place of an OAuth access token: no API of Google accepts it."""
        return f"local-no-credential.{secrets.token_urlsafe(32)}"

    def certificates(self) -> dict[str, str]:
        """The certificate in PEM by its key's id, as https://www.googleapis.com/oauth2/v1/certs has them."""
        key = self._key()
        return {key.id: key.certificate}

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set, as https://www.googleapis.com/oauth2/v3/certs has it."""
        key = self._key()
        numbers = key.private.public_key().public_numbers()
        public = {"n": _encode_number(numbers.n), "e": _encode_number(numbers.e)}
        return {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": key.id, **public}]}

    def _key(self) -> _Key:
        with self._lock:
            if self._made is None:
                self._made = _make_key()
            return self._made


def _make_key() -> _Key:
    private = rsa.generate_private_key(public_exponent=_PUBLIC_EXPONENT, key_size=_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local Cloud Tasks")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .sign(private, hashes.SHA256())
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    identity = hashlib.sha256(public).hexdigest()[:40]
    return _Key(private, identity, certificate.public_bytes(serialization.Encoding.PEM).decode())


def _subject(email: str) -> str:
    """The number of a service account: 21 digits, the same whenever the same account is asked for."""
    digest = int.from_bytes(hashlib.sha256(email.encode()).digest())
    return f"1{digest % 10 ** (_SUBJECT_DIGITS - 1):0{_SUBJECT_DIGITS - 1}}"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _encode_json(value: Mapping[str, object]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode_number(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8))
