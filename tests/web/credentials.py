"""Credentials as Google makes them, and as it never would: signed here with keys of this run."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

AUDIENCE = "https://app.example.com"
IAP_AUDIENCE = "/projects/7/apps/test"
GOOGLE = "https://accounts.google.com"
IAP = "https://cloud.google.com/iap"
KID, IAP_KID = "kid-1", "iap-1"


@cache
def rsa_key(name: str):
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key(name: str):
    return ec.generate_private_key(ec.SECP256R1())


@cache
def certificates() -> dict[str, str]:
    """What https://www.googleapis.com/oauth2/v1/certs would answer: PEM certificates by key id."""
    key, now = rsa_key("google"), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return {KID: made.public_bytes(serialization.Encoding.PEM).decode()}


@cache
def iap_keys() -> dict[str, str]:
    """What https://www.gstatic.com/iap/verify/public_key would answer: PEM public keys by key id."""
    public = ec_key("iap").public_key()
    encoded = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {IAP_KID: encoded.decode()}


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def part(value) -> str:
    return b64(json.dumps(value).encode())


def claims(email: str, **changes):
    """The claims of an ID token of an account; a change to None leaves a claim out."""
    now = int(time.time())
    made = {
        "aud": AUDIENCE,
        "azp": "1",
        "sub": "1",
        "email": email,
        "email_verified": True,
        "iss": GOOGLE,
        "iat": now - 60,
        "exp": now + 3000,
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def id_token(email: str, *, key: str = "google", kid: str = KID, alg: str = "RS256", **changes) -> str:
    """A token that is signed as its ``alg`` says."""
    signed = f"{part({'alg': alg, 'kid': kid, 'typ': 'JWT'})}.{part(claims(email, **changes))}"
    if alg == "RS256":
        signature = rsa_key(key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    elif alg == "HS256":  # with the public certificate as the secret: a known confusion
        signature = hmac.digest(certificates()[KID].encode(), signed.encode(), hashlib.sha256)
    else:
        signature = b""
    return f"{signed}.{b64(signature)}"


def without_signature(email: str, **changes) -> str:
    """A token as Cloud Run passes it on, after it has verified it."""
    signed = f"{part({'alg': 'RS256', 'kid': KID, 'typ': 'JWT'})}.{part(claims(email, **changes))}"
    return f"{signed}.SIGNATURE_REMOVED_BY_GOOGLE"


def assertion(email: str, *, key: str = "iap", **changes) -> str:
    """What IAP sends along."""
    now = int(time.time())
    made = claims(email, iss=IAP, aud=IAP_AUDIENCE, email_verified=None, exp=now + 500)
    made |= {"sub": "accounts.google.com:1"} | changes
    signed = f"{part({'alg': 'ES256', 'kid': IAP_KID, 'typ': 'JWT'})}.{part(made)}"
    r, s = decode_dss_signature(ec_key(key).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}"
