"""Which tokens and assertions prove an identity, and how often the certificates for it are fetched."""

from __future__ import annotations

import base64
import datetime
import hmac
import json
import threading
from types import SimpleNamespace

import pytest
import responses
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from raw_receiver import RawReceiver

from fantasm_gcp.core.access import Identity
from fantasm_gcp.errors import IdentityError, UnverifiedError
from fantasm_gcp.gateways.certificates import (
    ES256,
    FORCED_EVERY,
    GRACE,
    LONGEST,
    MOST_BYTES,
    PAUSE,
    RS256,
    SHORTEST,
    USUAL,
    Certificates,
)
from fantasm_gcp.gateways.direct_requests import Answer
from fantasm_gcp.gateways.identity import (
    GCLOUD_AUDIENCE,
    IAP_KEYS,
    MOST_CHARACTERS,
    REMOVED_SIGNATURE,
    Verifier,
)
from fantasm_gcp.local.tasks.configuration.tokens import Issuer, OidcToken
from fantasm_gcp.settings import GOOGLE_CERTIFICATES

NOW = 1_800_000_000
AUDIENCE = "https://orders.example.com"
IAP_AUDIENCE = "/projects/123/apps/orders"
ACCOUNT = "tasks@orders.iam.gserviceaccount.com"
PERSON = "ann@example.com"
ABSENT = object()
CLAIMS = {
    "iss": "https://accounts.google.com",
    "aud": AUDIENCE,
    "email": ACCOUNT,
    "email_verified": True,
    "iat": NOW - 60,
    "exp": NOW + 3540,
    "sub": "1234567890",
}
IAP_CLAIMS = {
    "iss": "https://cloud.google.com/iap",
    "aud": IAP_AUDIENCE,
    "email": PERSON,
    "iat": NOW - 60,
    "exp": NOW + 540,
    "sub": "accounts.google.com:1234567890",
}


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def changed(claims, changes):
    """Claims with some of them changed, or absent."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not ABSENT}


def rs256(key, signed: bytes) -> bytes:
    return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def es256(key, signed: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def pem_of(key) -> str:
    shape = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, shape).decode()


def certificate_of(key) -> str:
    """A certificate that was over long ago: only the list that it is on says how long it is good."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(then)
        .not_valid_after(then + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def keys():
    """Real keys, made once: Google's, that of a stranger, IAP's, and one on another curve."""
    google, stranger = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    iap, wide = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    return SimpleNamespace(
        google=google,
        stranger=stranger,
        iap=iap,
        wide=wide,
        google_pem=certificate_of(google),
        stranger_pem=certificate_of(stranger),
        iap_pem=pem_of(iap),
    )


class Google:
    """Answers with certificates, and counts how often it is asked. ``failure`` is raised instead."""

    def __init__(self, keys):
        self.lists = {
            GOOGLE_CERTIFICATES: {"one": keys.google_pem},
            IAP_KEYS: {"ec": keys.iap_pem, "rsa": keys.google_pem},
        }
        self.headers = {"Cache-Control": "public, max-age=1000, must-revalidate"}
        self.failure = None
        self.asked = []

    def __call__(self, url):
        self.asked.append(url)
        if self.failure is not None:
            raise self.failure
        return Answer(200, self.headers, json.dumps(self.lists[url]).encode())


class Clock:
    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def google(keys):
    return Google(keys)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def verifier(google, clock):
    return Verifier(clock=clock, fetch=google)


@pytest.fixture
def make(keys):
    """Makes an ID token that is good, but for what is changed."""

    def made(claims=None, header=None, sign=rs256, key=None):
        head = changed({"alg": "RS256", "kid": "one", "typ": "JWT"}, header or {})
        body = claims if isinstance(claims, bytes) else json.dumps(changed(CLAIMS, claims or {})).encode()
        signed = f"{encode(json.dumps(head).encode())}.{encode(body)}"
        return f"{signed}.{encode(sign(key or keys.google, signed.encode()))}"

    return made


@pytest.fixture
def assert_made(keys):
    """Makes an assertion of IAP that is good, but for what is changed."""

    def made(claims=None, header=None, sign=es256, key=None):
        head = changed({"alg": "ES256", "kid": "ec", "typ": "JWT"}, header or {})
        signed = ".".join(
            encode(json.dumps(each).encode()) for each in (head, changed(IAP_CLAIMS, claims or {}))
        )
        return f"{signed}.{encode(sign(key or keys.iap, signed.encode()))}"

    return made


def unsigned(token: str) -> str:
    """As Cloud Run passes a token on."""
    return f"{token.rpartition('.')[0]}.{REMOVED_SIGNATURE}"


# What proves an identity


def test_a_good_token_proves_its_account(verifier, make):
    """The account, in small letters, whichever way Google writes its issuer."""
    assert Identity(ACCOUNT) == verifier.id_token(make(), AUDIENCE)
    assert Identity(ACCOUNT) == verifier.id_token(make({"iss": "accounts.google.com"}), AUDIENCE)
    assert Identity("o'neil@example.com") == verifier.id_token(
        make({"email": "O'Neil@Example.com"}), AUDIENCE
    )


def test_a_good_assertion_proves_its_account(verifier, assert_made):
    """IAP's have no email_verified and need none."""
    assert Identity(PERSON) == verifier.assertion(assert_made(), IAP_AUDIENCE)


def test_a_token_of_the_local_cloud_tasks_proves_its_account():
    """The local server signs as Google does, and shows its certificate in the same form; over real HTTP."""
    issuer = Issuer(clock=lambda: NOW)
    shown = json.dumps(issuer.certificates()).encode()
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(shown)}\r\n\r\n".encode() + shown
    token = issuer.id_token(OidcToken(ACCOUNT, AUDIENCE))
    with RawReceiver(answer) as receiver:
        verifier = Verifier(f"http://127.0.0.1:{receiver.port}/oauth2/v1/certs", clock=lambda: NOW)
        assert Identity(ACCOUNT) == verifier.id_token(token, AUDIENCE)
    assert receiver.requests[0].startswith(b"GET /oauth2/v1/certs HTTP/1.1\r\n")
    with pytest.raises(IdentityError, match="it is for"):
        verifier.id_token(token, AUDIENCE + "/")


# What the claims have to say

BAD_CLAIMS = {
    "another's audience": ({"aud": "https://evil.example.com"}, "it is for"),
    "an audience that begins alike": ({"aud": AUDIENCE + ".evil.com"}, "it is for"),
    "a list of audiences": ({"aud": [AUDIENCE]}, "it is for of type list"),
    "gcloud's audience": ({"aud": GCLOUD_AUDIENCE}, "it is for"),
    "an empty audience": ({"aud": ""}, "it is for"),
    "no audience": ({"aud": ABSENT}, "it is for"),
    "another issuer": ({"iss": "https://evil.example.com"}, "issuer"),
    "an unencrypted issuer": ({"iss": "http://accounts.google.com"}, "issuer"),
    "IAP as issuer": ({"iss": "https://cloud.google.com/iap"}, "issuer"),
    "a list of issuers": ({"iss": ["https://accounts.google.com"]}, "issuer"),
    "an object as issuer": ({"iss": {"a": 1}}, "issuer"),
    "no issuer": ({"iss": ABSENT}, "issuer"),
    "an address that is not verified": ({"email_verified": False}, "not verified"),
    "an address verified by text": ({"email_verified": "true"}, "not verified"),
    "an address verified by number": ({"email_verified": 1}, "not verified"),
    "nothing about verification": ({"email_verified": ABSENT}, "not verified"),
    "no address": ({"email": ABSENT}, "email"),
    "an empty address": ({"email": ""}, "email"),
    "a list of addresses": ({"email": [ACCOUNT]}, "email"),
    "a number as address": ({"email": 7}, "email"),
    "no address but a name": ({"email": "tasks"}, "email"),
    "two addresses": ({"email": f"{ACCOUNT},{PERSON}"}, "email"),
    "an address with a line": ({"email": ACCOUNT + "\n"}, "email"),
    "an address with an end": ({"email": ACCOUNT + "\x00"}, "email"),
    "an address with a blank": ({"email": " " + ACCOUNT}, "email"),
    "an address of another provider": ({"email": "securetoken.google.com/orders:" + PERSON}, "email"),
    "an address with a Kelvin sign": ({"email": "tas\N{KELVIN SIGN}s@example.com"}, "email"),
    "an address with half a character": ({"email": "\ud800@example.com"}, "email"),
    "an address of 400 letters": ({"email": "a@" + "b." * 198 + "com"}, "email"),
    "a begin in an hour": ({"iat": NOW + 3600, "exp": NOW + 7200}, "good in 3600 seconds"),
    "a begin just past the skew": ({"iat": NOW + 11}, "good in 11 seconds"),
    "an issue just past the skew": ({"iat": NOW + 11, "nbf": NOW - 60}, "good in 11 seconds"),
    "a later begin than it was issued": ({"nbf": NOW + 11}, "good in 11 seconds"),
    "a begin that is no time": ({"nbf": None}, "nbf is no time"),
    "an end an hour ago": ({"iat": NOW - 7200, "exp": NOW - 3600}, "expired 3600 seconds ago"),
    "an end just past the skew": ({"exp": NOW - 10}, "expired 10 seconds ago"),
    "an end in two days": ({"exp": NOW + 2 * 86400}, "lasts longer"),
    "an end in the year 10000": ({"exp": 253402300800}, "exp is no time"),
    "an end in the year 10^12": ({"exp": 31556952 * 10**12}, "exp is no time"),
    "an end of a thousand digits": ({"exp": 10**1000}, "exp is no time"),
    "an end as text": ({"exp": str(NOW + 60)}, "exp is no time"),
    "an end as truth": ({"exp": True}, "exp is no time"),
    "an end with a fraction": ({"exp": NOW + 60.5}, "exp is no time"),
    "an end before all time": ({"exp": -1}, "exp is no time"),
    "an end as a list": ({"exp": [NOW + 60]}, "exp is no time"),
    "no end": ({"exp": ABSENT}, "exp is no time"),
    "no begin": ({"iat": ABSENT}, "iat is no time"),
    "a begin before all time": ({"iat": -1}, "iat is no time"),
    "a begin as text": ({"iat": str(NOW)}, "iat is no time"),
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_a_signed_token_with_wrong_claims_proves_nothing(verifier, make, name):
    """However well it is signed; with and without the signature that Cloud Run takes away."""
    changes, words = BAD_CLAIMS[name]
    with pytest.raises(IdentityError, match=words):
        verifier.id_token(make(changes), AUDIENCE)
    with pytest.raises(IdentityError, match=words):
        verifier.verified_elsewhere(unsigned(make(changes)), AUDIENCE)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (changes, _) in BAD_CLAIMS.items()
        if not {"email_verified", "iss"} & set(changes)
        and "just past" not in name
        and name != "a later begin"
    ],
)
def test_a_signed_assertion_with_wrong_claims_proves_nothing(verifier, assert_made, name):
    """As for tokens, but for what IAP says otherwise."""
    changes, _ = BAD_CLAIMS[name]
    changes = {claim: value + 20 if claim == "nbf" and value else value for claim, value in changes.items()}
    with pytest.raises(IdentityError):
        verifier.assertion(assert_made(changes), IAP_AUDIENCE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://accounts.google.com"}, "issuer"),
        ({"iss": ABSENT}, "issuer"),
        ({"aud": IAP_AUDIENCE + "2"}, "it is for"),
        ({"aud": [IAP_AUDIENCE]}, "it is for"),
        ({"iat": NOW + 31}, "good in 31 seconds"),
        ({"exp": NOW - 30}, "expired 30 seconds ago"),
        ({"exp": NOW - 60 + 661}, "lasts longer than 600 seconds"),
        ({"sub": "securetoken.google.com/orders:123"}, "no account of Google"),
        ({"sub": "123"}, "no account of Google"),
        ({"sub": ["accounts.google.com:123"]}, "no account of Google"),
        ({"sub": ABSENT}, "no account of Google"),
    ],
)
def test_an_assertion_has_to_be_of_iap_for_us_and_for_now(verifier, assert_made, changes, words):
    """Its skew and its lifetime are those that IAP documents; identities that others gave out are none."""
    with pytest.raises(IdentityError, match=words):
        verifier.assertion(assert_made(changes), IAP_AUDIENCE)


def test_times_may_be_off_by_a_little(verifier, make, assert_made):
    """Ten seconds for a token and thirty for an assertion; and a token may last for a day."""
    for changes in ({"iat": NOW + 10}, {"nbf": NOW + 10}, {"exp": NOW - 9}, {"exp": NOW - 60 + 86400 + 20}):
        assert Identity(ACCOUNT) == verifier.id_token(make(changes), AUDIENCE)
    for changes in ({"iat": NOW + 30}, {"exp": NOW - 29}, {"exp": NOW - 60 + 660}):
        assert Identity(PERSON) == verifier.assertion(assert_made(changes), IAP_AUDIENCE)


def test_the_time_is_the_clocks(verifier, make, clock):
    """The same token is good now and no longer when its hour is over."""
    token = make()
    assert Identity(ACCOUNT) == verifier.id_token(token, AUDIENCE)
    clock.now += 3540 + 10
    with pytest.raises(IdentityError, match="expired 10 seconds ago"):
        verifier.id_token(token, AUDIENCE)


def test_an_empty_audience_takes_no_token(verifier, make, assert_made):
    """A setting that is not there never means that anything goes."""
    for changes in ({"aud": ""}, {"aud": ABSENT}, {"aud": None}, {}):
        with pytest.raises(IdentityError, match="nothing says for whom"):
            verifier.id_token(make(changes), "")
        with pytest.raises(IdentityError, match="nothing says for whom"):
            verifier.verified_elsewhere(unsigned(make(changes)), "")
        with pytest.raises(IdentityError, match="nothing says for whom"):
            verifier.assertion(assert_made(changes), "")


# What the signature has to be


def hs256(secret):
    return lambda _, signed: hmac.digest(secret.encode(), signed, "sha256")


FORGERIES = {
    "a stranger's signature": lambda make, keys: make(key=keys.stranger),
    "no algorithm": lambda make, keys: make(header={"alg": ABSENT}),
    "alg none without a signature": lambda make, keys: make(header={"alg": "none"}, sign=lambda *_: b""),
    "alg none with a signature": lambda make, keys: make(header={"alg": "none"}),
    "alg None": lambda make, keys: make(header={"alg": "None"}),
    "a list of algorithms": lambda make, keys: make(header={"alg": ["RS256"]}),
    "another's small letters": lambda make, keys: make(header={"alg": "rs256"}),
    "HS256 with the certificate as secret": lambda make, keys: make(
        header={"alg": "HS256"}, sign=hs256(keys.google_pem)
    ),
    "HS256 called RS256": lambda make, keys: make(sign=hs256(keys.google_pem)),
    "ES256": lambda make, keys: make(header={"alg": "ES256"}, sign=es256, key=keys.iap),
    "ES256 called RS256": lambda make, keys: make(sign=es256, key=keys.iap),
    "RS256 called ES256": lambda make, keys: make(header={"alg": "ES256"}),
    "SHA-512": lambda make, keys: make(
        sign=lambda key, signed: key.sign(signed, padding.PKCS1v15(), hashes.SHA512())
    ),
    "PSS": lambda make, keys: make(
        sign=lambda key, signed: key.sign(
            signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
        )
    ),
    "a key in the header": lambda make, keys: make(
        header={"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, key=keys.stranger
    ),
    "a certificate in the header": lambda make, keys: make(
        header={"x5c": [keys.stranger_pem]}, key=keys.stranger
    ),
    "a place of keys in the header": lambda make, keys: make(
        header={"jku": "https://evil.example.com/", "x5u": "https://evil.example.com/"}, key=keys.stranger
    ),
    "extensions": lambda make, keys: make(header={"crit": ["b64"], "b64": False}),
    "no key id": lambda make, keys: make(header={"kid": ABSENT}),
    "no key id and a stranger's key": lambda make, keys: make(header={"kid": ABSENT}, key=keys.stranger),
    "an empty key id": lambda make, keys: make(header={"kid": ""}),
    "a number as key id": lambda make, keys: make(header={"kid": 1}),
    "a list as key id": lambda make, keys: make(header={"kid": ["one"]}),
    "an object as key id": lambda make, keys: make(header={"kid": {"one": "one"}}),
    "an unknown key id": lambda make, keys: make(header={"kid": "two"}),
    "a path as key id": lambda make, keys: make(header={"kid": "../../../../dev/null"}),
    "a URL as key id": lambda make, keys: make(header={"kid": "https://evil.example.com/key"}),
    "half a character as key id": lambda make, keys: make(header={"kid": "\ud800"}),
    "a huge key id": lambda make, keys: make(header={"kid": "k" * 8000}),
    "an attribute as key id": lambda make, keys: make(header={"kid": "__class__"}),
    "a signature of nothing": lambda make, keys: make(sign=lambda *_: b""),
    "a signature of zeros": lambda make, keys: make(sign=lambda *_: bytes(256)),
    "a short signature": lambda make, keys: make(sign=lambda key, signed: rs256(key, signed)[:-1]),
    "a long signature": lambda make, keys: make(sign=lambda key, signed: rs256(key, signed) + b"\0"),
    "other claims": lambda make, keys: ".".join(
        (make().split(".")[0], make({"email": PERSON}).split(".")[1], make().split(".")[2])
    ),
    "another header": lambda make, keys: ".".join(
        (make(header={"typ": "jwt"}).split(".")[0], *make().split(".")[1:])
    ),
    "the mark of Cloud Run": lambda make, keys: unsigned(make()),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_google_has_not_signed_proves_nothing(verifier, make, keys, name):
    """Only RS256 counts, with the key of Google's that the token names."""
    with pytest.raises(IdentityError):
        verifier.id_token(FORGERIES[name](make, keys), AUDIENCE)


@pytest.mark.parametrize("name", [name for name in FORGERIES if name != "the mark of Cloud Run"])
def test_without_cloud_runs_mark_a_token_is_verified_in_full(verifier, make, keys, name):
    """Whatever a forged token has in the signature's place."""
    with pytest.raises(IdentityError):
        verifier.verified_elsewhere(FORGERIES[name](make, keys), AUDIENCE)


IAP_FORGERIES = {
    "another key": lambda made, keys: made(key=ec.generate_private_key(ec.SECP256R1())),
    "alg none": lambda made, keys: made(header={"alg": "none"}, sign=lambda *_: b""),
    "RS256 with a key of the list": lambda made, keys: made(
        header={"alg": "RS256", "kid": "rsa"}, sign=rs256, key=keys.google
    ),
    "RS256 called ES256": lambda made, keys: made(header={"kid": "rsa"}, sign=rs256, key=keys.google),
    "HS256": lambda made, keys: made(header={"alg": "HS256"}, sign=hs256(keys.iap_pem)),
    "ES384": lambda made, keys: made(header={"alg": "ES384"}),
    "zeros": lambda made, keys: made(sign=lambda *_: bytes(64)),
    "nothing": lambda made, keys: made(sign=lambda *_: b""),
    "as DER": lambda made, keys: made(sign=lambda key, signed: key.sign(signed, ec.ECDSA(hashes.SHA256()))),
    "an unknown key": lambda made, keys: made(header={"kid": "none"}),
    "no key id": lambda made, keys: made(header={"kid": ABSENT}),
    "the mark of Cloud Run": lambda made, keys: unsigned(made()),
}


@pytest.mark.parametrize("name", IAP_FORGERIES)
def test_what_iap_has_not_signed_proves_nothing(verifier, assert_made, keys, name):
    """Only ES256 counts, with a P-256 key of IAP's."""
    with pytest.raises(IdentityError):
        verifier.assertion(IAP_FORGERIES[name](assert_made, keys), IAP_AUDIENCE)


def test_a_key_without_a_name_is_nobodys(verifier, google, make):
    """Even where the list has one."""
    google.lists[GOOGLE_CERTIFICATES][""] = google.lists[GOOGLE_CERTIFICATES]["one"]
    for header in ({"kid": ""}, {"kid": ABSENT}):
        with pytest.raises(IdentityError, match="names no key"):
            verifier.id_token(make(header=header), AUDIENCE)


def test_tokens_and_assertions_do_not_stand_in_for_each_other(verifier, make, assert_made, google):
    """Even where both lists had all keys, and both audiences were the same."""
    google.lists[GOOGLE_CERTIFICATES] = google.lists[IAP_KEYS] = {
        **google.lists[GOOGLE_CERTIFICATES],
        **google.lists[IAP_KEYS],
    }
    with pytest.raises(IdentityError, match="signed by 'ES256'"):
        verifier.id_token(assert_made({"aud": AUDIENCE, "email_verified": True}), AUDIENCE)
    with pytest.raises(IdentityError, match="signed by 'RS256'"):
        verifier.assertion(make({"aud": IAP_AUDIENCE}), IAP_AUDIENCE)


def test_no_changed_character_makes_another_identity(verifier, make):
    """Each character of a good token changed: refused, or at its very end, in bits that mean nothing, equal."""
    token = make()
    equal = []
    for place, old in enumerate(token):
        new = "B" if old != "B" else "C"
        try:
            identity = verifier.id_token(token[:place] + new + token[place + 1 :], AUDIENCE)
        except IdentityError:
            continue
        assert Identity(ACCOUNT) == identity
        equal.append(place)
    assert set(equal) <= {len(token) - 1}


# Texts that are no tokens


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def text_of(header: bytes = b"{}", claims: bytes = b"{}") -> str:
    return f"{encode(header)}.{encode(claims)}.abcd"


PARTS = "not a header, claims and a signature"
SHAPELESS = {
    "nothing": ("", PARTS),
    "dots": ("..", PARTS),
    "one part": ("abc", PARTS),
    "two parts": ("abc.def", PARTS),
    "a fourth part": ("{good}.abc", PARTS),
    "two signatures": ("{good},abc", PARTS),
    "two tokens": ("{good},{good}", PARTS),
    "a blank before": (" {good}", PARTS),
    "a line after": ("{good}\n", PARTS),
    "an end after": ("{good}\x00", PARTS),
    "padding": ("{good}==", PARTS),
    "the other base64": ("+/+/.e30.abcd", PARTS),
    "other digits": ("e30.\uff10\uff11.abc", PARTS),
    "umlauts": ("\xe4.\xf6.\xfc", PARTS),
    "half a character": ("e30.\ud800.abcd", PARTS),
    "an odd length": ("e30.e30ab.abcd", "not base64url"),
    "a header that is no JSON": (text_of(header=b"{"), "header cannot be read as JSON"),
    "a header that is no text": (text_of(header=b"\xff\xfe"), "header cannot be read as JSON"),
    "a header in UTF-16": (text_of(header="{}".encode("utf-16")), "header cannot be read as JSON"),
    "a header that is a list": (text_of(header=b"[1]"), "header cannot be read as a JSON object"),
    "a header that is null": (text_of(header=b"null"), "header cannot be read as a JSON object"),
    "a header twice in one": (
        text_of(header=b'{"alg":"none","alg":"RS256"}'),
        "header cannot be read as JSON",
    ),
    "claims that are a text": (text_of(claims=b'"a"'), "claims cannot be read as a JSON object"),
    "claims without a number": (text_of(claims=b'{"exp":NaN}'), "claims cannot be read as JSON"),
    "claims without an end": (text_of(claims=b'{"exp":Infinity}'), "claims cannot be read as JSON"),
    "a number of 5000 digits": (
        text_of(claims=b'{"exp":' + b"9" * 5000 + b"}"),
        "claims cannot be read as JSON",
    ),
    "claims without a bottom": (text_of(claims=b'{"a":' + b"[" * 12_000), "claims cannot be read as JSON"),
    "claims nested 5000 deep": (text_of(claims=nested(5000)), "claims cannot be|it is signed by"),
    "claims nested 300 deep": (text_of(claims=nested(300)), "it is signed by"),
    "100 KB": ("a" * 50_000 + "." + "b" * 50_000 + ".c", "longer than"),
}


@pytest.mark.parametrize("name", SHAPELESS)
def test_what_is_no_token_proves_nothing(verifier, make, google, name):
    """No error but the one, and no question to Google for it."""
    text, words = SHAPELESS[name]
    text = text.replace("{good}", make())
    for prove in (verifier.id_token, verifier.assertion, verifier.verified_elsewhere):
        with pytest.raises(IdentityError, match=words):
            prove(text, AUDIENCE)
    assert [] == google.asked


SIGNED_BODIES = {
    "an end that is no number": b'"exp":NaN',
    "an end without end": b'"exp":1e999',
    "an audience twice": b'"aud":"x","aud":"https://orders.example.com"',
    "an account twice": b'"email":"a@example.com","email":"b@example.com"',
    "an audience nested deep": b'"aud":' + b"[" * 700 + b"]" * 700,
}


@pytest.mark.parametrize("name", SIGNED_BODIES)
def test_claims_that_can_be_read_in_two_ways_prove_nothing(verifier, make, name):
    """However well they are signed."""
    body = json.dumps(CLAIMS).encode()
    body = b"{" + SIGNED_BODIES[name] + b"," + body[1:]
    if name == "an audience nested deep":  # it is not the only one then
        body = json.dumps(changed(CLAIMS, {"aud": ABSENT})).encode()[:-1] + b"," + SIGNED_BODIES[name] + b"}"
    with pytest.raises(IdentityError):
        verifier.id_token(make(body), AUDIENCE)


def test_a_token_may_have_sixteen_thousand_characters_and_no_more(verifier, make):
    """They are counted before anything is decoded."""
    spare = MOST_CHARACTERS - len(make({"more": ""}))
    fits, longer = (make({"more": "x" * (spare * 3 // 4 + change)}) for change in (-2, 4))
    assert len(fits) <= MOST_CHARACTERS < len(longer)
    assert Identity(ACCOUNT) == verifier.id_token(fits, AUDIENCE)
    with pytest.raises(IdentityError, match="longer than 16384"):
        verifier.id_token(longer, AUDIENCE)


def test_the_reason_is_one_short_line(verifier, make):
    """What a stranger wrote cannot fill the log, and cannot forge lines of it."""
    for token in (
        make({"aud": "a\nERROR forged\r\x1b[0m\u2028" + "x" * 5000}),
        make({"iss": "\ud800\n" * 500}),
        make({"iss": "\xe4\u03b1" * 500}),
        make({"email": "\n" * 5000}),
        make(header={"alg": "\n" * 5000}),
        make(header={"kid": "\n\u202e" * 500}),
    ):
        assert len(token) <= MOST_CHARACTERS
        with pytest.raises(IdentityError) as caught:
            verifier.id_token(token, AUDIENCE)
        reason = str(caught.value)
        assert len(reason) < 700
        assert reason.isascii()
        assert reason.isprintable()


# What Cloud Run has verified


def test_what_cloud_run_has_verified_needs_no_certificates(verifier, make, google):
    """The claims count, without a question to Google."""
    assert Identity(ACCOUNT) == verifier.verified_elsewhere(unsigned(make()), AUDIENCE)
    assert Identity(PERSON) == verifier.verified_elsewhere(unsigned(make({"email": PERSON})), AUDIENCE)
    assert [] == google.asked


def test_a_person_may_show_the_token_that_gcloud_makes(verifier, make):
    """It is for gcloud and not for us, and Cloud Run takes it; a signed one is verified in full."""
    token = make({"email": PERSON, "aud": GCLOUD_AUDIENCE})
    assert Identity(PERSON) == verifier.verified_elsewhere(unsigned(token), AUDIENCE)
    with pytest.raises(IdentityError, match="it is for"):
        verifier.verified_elsewhere(token, AUDIENCE)
    for account in (ACCOUNT, "1-compute@DEVELOPER.gserviceaccount.com", "orders@appspot.gserviceaccount.com"):
        service = unsigned(make({"email": account, "aud": GCLOUD_AUDIENCE}))
        with pytest.raises(IdentityError, match="it is for"):
            verifier.verified_elsewhere(service, AUDIENCE)


@pytest.mark.parametrize(
    "mark",
    [
        REMOVED_SIGNATURE.lower(),
        REMOVED_SIGNATURE + "_",
        REMOVED_SIGNATURE[:-1],
        encode(REMOVED_SIGNATURE.encode()),
        "AAAA",
    ],
)
def test_only_cloud_runs_own_mark_stands_for_a_signature(verifier, make, mark):
    """All else is a signature, and a wrong one."""
    with pytest.raises(IdentityError, match="its signature is wrong"):
        verifier.verified_elsewhere(f"{make().rpartition('.')[0]}.{mark}", AUDIENCE)


def test_a_signed_token_counts_where_cloud_run_verifies(verifier, make):
    """Cloud Run leaves the signature of what it does not look at."""
    assert Identity(ACCOUNT) == verifier.verified_elsewhere(make(), AUDIENCE)


def test_a_removed_signature_is_told_from_a_wrong_one(verifier, make):
    """Whoever reads the log learns which setting goes with such a service."""
    with pytest.raises(IdentityError, match="set FANTASM_VERIFIED_BY=cloud-run"):
        verifier.id_token(unsigned(make()), AUDIENCE)


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"kid": ABSENT}, {"crit": ["x"]}])
def test_cloud_run_has_verified_no_token_that_google_does_not_make(verifier, make, header):
    """The mark alone does not make a header good."""
    with pytest.raises(IdentityError):
        verifier.verified_elsewhere(unsigned(make(header=header)), AUDIENCE)


# How certificates are read


@pytest.fixture
def certificates(google, clock):
    return Certificates(GOOGLE_CERTIFICATES, RS256, clock, google)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>sign in</html>",
        b'"one"',
        b'{"one": null}',
        b'{"one": {"n": "AQAB"}}',
        b'{"keys": [{"kid": "one", "kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        b'{"one": ""}',
        b'{"one": "garbage"}',
        b'{"one": "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n"}',
        b'{"one": "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\\n"}',
        b'{"one": "\\ud800"}',
        b"\xff\xfe\x00",
        b"[" * 30_000,
    ],
)
def test_what_are_no_certificates_verifies_nothing(clock, make, body):
    """It is nobody's fault who shows a token: the same token may be good later."""
    verifier = Verifier(clock=clock, fetch=lambda _: Answer(200, {}, body))
    with pytest.raises(UnverifiedError, match="cannot be read"):
        verifier.id_token(make(), AUDIENCE)


@pytest.mark.parametrize("status", [201, 204, 302, 404, 429, 500, 503])
def test_only_the_status_200_brings_certificates(clock, make, keys, status):
    """Whatever an error page says."""
    body = json.dumps({"one": keys.google_pem}).encode()
    verifier = Verifier(clock=clock, fetch=lambda _: Answer(status, {}, body))
    with pytest.raises(UnverifiedError, match=f"the answer is {status}"):
        verifier.id_token(make(), AUDIENCE)


def test_keys_of_other_algorithms_are_left_out(keys, clock, google):
    """Each list has the keys of its algorithm alone, whatever else Google adds to it."""
    google.lists["all"] = {
        "rsa": keys.google_pem,
        "certificate": certificate_of(keys.iap),
        "p256": keys.iap_pem,
        "p384": pem_of(keys.wide),
        "none": "garbage",
    }
    known = {
        algorithm: {
            name
            for name in google.lists["all"]
            if Certificates("all", algorithm, clock, google).find(name) is not None
        }
        for algorithm in (RS256, ES256)
    }
    assert {RS256: {"rsa"}, ES256: {"certificate", "p256"}} == known


@responses.activate
def test_certificates_are_fetched_without_redirects(clock, make, keys):
    """Another place than the one configured is not asked, and what it says does not count."""
    responses.get(GOOGLE_CERTIFICATES, status=302, headers={"Location": "https://evil.example.com/"})
    with pytest.raises(UnverifiedError, match="the answer is 302"):
        Verifier(clock=clock).id_token(make(), AUDIENCE)
    assert [GOOGLE_CERTIFICATES] == [each.request.url for each in responses.calls]


@responses.activate
def test_certificates_are_fetched_and_kept(clock, make, assert_made, keys):
    """From both of Google's places, once each for as long as the answers say."""
    responses.get(
        GOOGLE_CERTIFICATES, json={"one": keys.google_pem}, headers={"cache-control": "max-age=3000"}
    )
    responses.get(IAP_KEYS, json={"ec": keys.iap_pem})
    verifier = Verifier(clock=clock)
    for _ in range(3):
        verifier.id_token(make(), AUDIENCE)
        verifier.assertion(assert_made(), IAP_AUDIENCE)
    assert [GOOGLE_CERTIFICATES, IAP_KEYS] == [each.request.url for each in responses.calls]
    assert all("Authorization" not in each.request.headers for each in responses.calls)


@responses.activate
def test_an_answer_that_is_too_large_is_not_read(clock, make, keys):
    """It may have anything in it, a good key too."""
    responses.get(GOOGLE_CERTIFICATES, json={"one": keys.google_pem, "more": "x" * MOST_BYTES})
    with pytest.raises(UnverifiedError, match="larger than 65536 bytes"):
        Verifier(clock=clock).id_token(make(), AUDIENCE)


@responses.activate
def test_no_connection_is_no_refusal(clock, make):
    """Nothing is known then about who shows the token."""
    with pytest.raises(UnverifiedError, match=r"certs cannot be read: ConnectionError"):
        Verifier(clock=clock).id_token(make(), AUDIENCE)


def test_only_a_token_that_is_otherwise_good_is_worth_a_question(verifier, make, google):
    """Whoever sends rubbish or old tokens makes nobody fetch anything."""
    google.failure = ConnectionError("down")
    with pytest.raises(IdentityError):
        verifier.id_token(make({"exp": NOW - 60}), AUDIENCE)
    assert [] == google.asked
    with pytest.raises(UnverifiedError):
        verifier.id_token(make(), AUDIENCE)
    assert 1 == len(google.asked)


# How long certificates are kept


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "public, max-age=20845, must-revalidate, no-transform"}, 20845),
        ({"Cache-Control": "MAX-AGE=500"}, 500),
        ({"Cache-Control": 'max-age="500"'}, 500),
        ({"Cache-Control": "public,max-age=500"}, 500),
        ({"Cache-Control": "max-age=500", "Age": "100"}, 400),
        ({"Cache-Control": "max-age=500", "Age": "-100"}, 500),
        ({"Cache-Control": "max-age=500", "Age": "soon"}, 500),
        ({"Cache-Control": "max-age=500", "Age": "499"}, SHORTEST),
        ({"Cache-Control": "max-age=0"}, SHORTEST),
        ({"Cache-Control": "max-age=9999999999"}, LONGEST),
        ({"Cache-Control": "max-age=" + "9" * 5000}, LONGEST),
        ({"Cache-Control": "max-age=-1"}, USUAL),
        ({"Cache-Control": "max-age=\u0661\u0662\u0663"}, USUAL),
        ({"Cache-Control": "s-maxage=500"}, USUAL),
        ({"Cache-Control": "no-store"}, USUAL),
        ({}, USUAL),
    ],
)
def test_keys_are_kept_as_the_answer_says_within_bounds(certificates, google, clock, headers, seconds):
    """From a minute to a day; then they are fetched anew."""
    google.headers = headers
    certificates.find("one")
    clock.now += seconds - 1
    certificates.find("one")
    assert 1 == len(google.asked)
    clock.now += 1
    certificates.find("one")
    assert 2 == len(google.asked)


def test_a_clock_set_back_keeps_no_key_longer(certificates, google, clock):
    """What was fetched in the future is fetched again."""
    certificates.find("one")
    clock.now -= 1
    certificates.find("one")
    assert 2 == len(google.asked)


def test_old_keys_are_used_for_an_hour_where_there_are_no_new_ones(certificates, google, clock):
    """Then nothing can be verified until Google answers again."""
    key = certificates.find("one")
    google.failure = ConnectionError("down")
    clock.now += 1000 + GRACE - 1
    assert key is certificates.find("one")
    clock.now += PAUSE
    with pytest.raises(UnverifiedError, match="down"):
        certificates.find("one")
    google.failure = None
    clock.now += PAUSE
    assert certificates.find("one") is not None


def test_a_key_that_is_no_longer_on_the_list_is_no_longer_good(verifier, google, clock, keys, make):
    """Google takes one off at the end of its time, or before if it must."""
    token = make()
    verifier.id_token(token, AUDIENCE)
    google.lists[GOOGLE_CERTIFICATES] = {"two": keys.stranger_pem}
    clock.now += 1000
    with pytest.raises(IdentityError, match="key that is not known: 'one'"):
        verifier.id_token(token, AUDIENCE)


def test_after_a_failure_google_is_left_alone_for_some_seconds(certificates, google, clock):
    """Whether there are old keys or none; nobody waits for the next failure meanwhile."""
    google.failure = ConnectionError("down")
    for seconds in (0, PAUSE - 1):
        clock.now = NOW + seconds
        with pytest.raises(UnverifiedError, match="down"):
            certificates.find("one")
    assert 1 == len(google.asked)
    clock.now = NOW + PAUSE
    google.failure = None
    assert certificates.find("one") is not None
    assert 2 == len(google.asked)


def test_a_failure_is_forgotten_when_google_answers(certificates, google, clock):
    """What is not on the list then is not there."""
    google.failure = ConnectionError("down")
    with pytest.raises(UnverifiedError):
        certificates.find("one")
    google.failure = None
    clock.now += PAUSE
    for _ in range(3):
        assert certificates.find("invented") is None


# Keys that are not there


def test_a_new_key_is_found_at_once(verifier, google, clock, keys, make):
    """The list is fetched for its sake, long before its time is over."""
    verifier.id_token(make(), AUDIENCE)
    google.lists[GOOGLE_CERTIFICATES]["two"] = keys.stranger_pem
    assert Identity(ACCOUNT) == verifier.id_token(make(header={"kid": "two"}, key=keys.stranger), AUDIENCE)
    assert 2 == len(google.asked)


def test_invented_keys_make_one_question_a_minute(certificates, google, clock):
    """Anybody can name a key; and the first list has just been fetched, so it is not fetched twice."""
    assert certificates.find("invented") is None
    assert 1 == len(google.asked)
    google.headers = {"Cache-Control": "max-age=86400"}
    for second in range(200):
        clock.now = NOW + second
        assert certificates.find(f"invented {second}") is None
        assert certificates.find("one") is not None
    assert 1 + 200 // FORCED_EVERY + 1 == len(google.asked)


def test_a_key_that_may_be_new_is_not_refused_while_google_is_silent(certificates, google, clock):
    """Neither where the question for it fails, nor in the minute without questions after that."""
    assert certificates.find("one") is not None
    google.failure = ConnectionError("down")
    for seconds in (1, 2, 30):
        clock.now = NOW + seconds
        with pytest.raises(UnverifiedError):
            certificates.find("two")
        assert certificates.find("one") is not None
    assert 2 == len(google.asked)


def test_a_key_that_may_be_new_is_not_refused_by_old_keys(certificates, google, clock):
    """A list past its time does not say that there is no such key."""
    certificates.find("one")
    certificates.find("two")
    google.failure = ConnectionError("down")
    clock.now += 1000
    certificates.find("one")
    with pytest.raises(UnverifiedError):
        certificates.find("two")


# Many threads


class Slow(Google):
    """Says when it is asked, and answers when it is told to."""

    def __init__(self, keys):
        super().__init__(keys)
        self.entered = threading.Event()
        self.answers = threading.Event()

    def __call__(self, url):
        answer = super().__call__(url)
        self.entered.set()
        assert self.answers.wait(10)
        return answer


def run_together(work, count=8):
    """Threads that begin together; what each got or raised is in the list, once all are joined."""
    barrier, results = threading.Barrier(count), []

    def run():
        barrier.wait(10)
        try:
            results.append(work())
        except UnverifiedError as error:
            results.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for each in threads:
        each.start()
    return threads, results


def test_many_threads_fetch_once(keys, clock):
    """The others wait for the first keys there are."""
    slow = Slow(keys)
    certificates = Certificates(GOOGLE_CERTIFICATES, RS256, clock, slow)
    threads, results = run_together(lambda: certificates.find("one"))
    assert slow.entered.wait(10)
    slow.answers.set()
    for each in threads:
        each.join(10)
    assert [certificates.find("one")] * 8 == results
    assert 1 == len(slow.asked)


def test_many_threads_share_one_failure(keys, clock):
    """Eight requests do not wait for eight timeouts in a row."""
    slow = Slow(keys)

    def fail(url):
        slow(url)
        raise ConnectionError("down")

    certificates = Certificates(GOOGLE_CERTIFICATES, RS256, clock, fail)
    threads, results = run_together(lambda: certificates.find("one"))
    assert slow.entered.wait(10)
    slow.answers.set()
    for each in threads:
        each.join(10)
    assert [f"the certificates at {GOOGLE_CERTIFICATES} cannot be read: down"] * 8 == results
    assert 1 == len(slow.asked)


def test_nobody_waits_while_one_renews(keys, clock):
    """The keys whose time has just come are good enough until the new ones are there."""
    slow = Slow(keys)
    slow.answers.set()
    certificates = Certificates(GOOGLE_CERTIFICATES, RS256, clock, slow)
    key = certificates.find("one")
    slow.entered.clear()
    slow.answers.clear()
    clock.now += 1000
    renewing = threading.Thread(target=certificates.find, args=("one",))
    renewing.start()
    assert slow.entered.wait(10)
    assert key is certificates.find("one")
    slow.answers.set()
    renewing.join(10)
    assert 2 == len(slow.asked)
    assert key is not certificates.find("one")


def test_many_threads_ask_for_a_new_key_once(keys, clock):
    """All of them get it."""
    slow = Slow(keys)
    slow.answers.set()
    certificates = Certificates(GOOGLE_CERTIFICATES, RS256, clock, slow)
    certificates.find("one")
    slow.lists[GOOGLE_CERTIFICATES]["two"] = keys.stranger_pem
    slow.entered.clear()
    slow.answers.clear()
    threads, results = run_together(lambda: certificates.find("two"))
    assert slow.entered.wait(10)
    slow.answers.set()
    for each in threads:
        each.join(10)
    assert [certificates.find("two")] * 8 == results
    assert None not in results
    assert 2 == len(slow.asked)
