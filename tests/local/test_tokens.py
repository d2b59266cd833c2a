"""Tokens as a worker verifies them, with the code that it has in production."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Flask, request
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token
from tasks_support import QUEUE, client_of, http_task
from werkzeug.serving import make_server

from fantasm_gcp.local.tasks import Delivery, HttpDelivery, TasksServer, WsgiDelivery
from fantasm_gcp.local.tasks.configuration.tokens import GOOGLE_ISSUER, Issuer, OAuthToken, OidcToken, Token
from fantasm_gcp.local.tasks.dispatching.certificate_pages import (
    CERTIFICATES,
    DISCOVERY,
    KEYS,
    create_certificate_pages,
)

EMAIL = "robot@demo.iam.gserviceaccount.com"
AUDIENCE = "https://worker.example"
TOKEN = OidcToken(EMAIL, AUDIENCE)
GOOGLES = "https://www.googleapis.com/oauth2/v1/certs"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """One for all tests: making a key is most of what they would do."""
    return Issuer()


@pytest.fixture(scope="module")
def served(issuer: Issuer) -> Iterator[str]:
    """The URL of the certificates' pages over a real socket."""
    app = Flask(__name__)
    app.register_blueprint(create_certificate_pages(issuer))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, claims and signature, unverified."""
    pieces = [base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)) for piece in token.split(".")]
    return json.loads(pieces[0]), json.loads(pieces[1]), pieces[2]


def verify(token: str, served: str, audience: str | None = AUDIENCE) -> dict[str, Any]:
    """What production code does, with another URL of the certificates."""
    claims = id_token.verify_token(token, Request(), audience=audience, certs_url=served + CERTIFICATES)
    return dict(claims)


def test_a_worker_verifies_a_token_as_in_production(issuer: Issuer, served: str) -> None:
    """With all claims that Cloud Tasks sends, by the real clock, for an hour."""
    before = int(time.time())
    claims = verify(issuer.id_token(TOKEN), served)
    after = int(time.time())

    assert before <= claims["iat"] <= after
    subject = claims["sub"]
    assert (len(subject), subject.isdecimal()) == (21, True)
    assert {
        "aud": AUDIENCE,
        "azp": subject,
        "email": EMAIL,
        "email_verified": True,
        "exp": claims["iat"] + 3600,
        "iat": claims["iat"],
        "iss": "https://accounts.google.com",
        "sub": subject,
    } == claims


def test_googles_own_check_of_the_issuer_passes(issuer: Issuer) -> None:
    """``verify_oauth2_token`` takes no URL: the certificates are put where it looks."""
    elsewhere = Issuer("https://elsewhere.example")
    with responses.RequestsMock() as mocked:
        mocked.get(GOOGLES, json={**issuer.certificates(), **elsewhere.certificates()})
        claims = id_token.verify_oauth2_token(issuer.id_token(TOKEN), Request(), AUDIENCE)

        assert claims["email"] == EMAIL
        with pytest.raises(exceptions.GoogleAuthError, match="issuer"):
            id_token.verify_oauth2_token(elsewhere.id_token(TOKEN), Request(), AUDIENCE)


def test_a_token_for_another_audience_is_refused(issuer: Issuer, served: str) -> None:
    """Also for one that the right audience begins with."""
    token = issuer.id_token(TOKEN)
    for audience in (f"{AUDIENCE}/", "https://worker.exampl", "x"):
        with pytest.raises(exceptions.InvalidValue, match="audience"):
            verify(token, served, audience)


def test_a_token_of_another_run_is_refused(served: str) -> None:
    """Its key is not the one that is served, whatever else is right."""
    with pytest.raises(exceptions.MalformedError, match="key id"):
        verify(Issuer().id_token(TOKEN), served)


def test_a_token_that_was_changed_is_refused(issuer: Issuer, served: str) -> None:
    """A claim, the signature or the algorithm."""
    header, claims, signature = issuer.id_token(TOKEN).split(".")
    forged = {**parts_of(f"{header}.{claims}.{signature}")[1], "email": "somebody@else.example"}
    for token in (
        f"{header}.{_encoded(forged)}.{signature}",
        f"{header}.{claims}.{signature[:-8]}AAAAAAAA",
        f"{header}.{claims}.",
        f"{_encoded({'alg': 'none', 'typ': 'JWT', 'kid': parts_of(f'{header}.{claims}.')[0]['kid']})}.{claims}.",
    ):
        with pytest.raises((ValueError, exceptions.GoogleAuthError)):
            verify(token, served)


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(("ago", "valid"), [(0, True), (3590, True), (3605, False), (-60, False)])
def test_a_token_is_valid_for_an_hour(ago: int, valid: bool) -> None:
    """By the worker's clock: neither before it was issued nor an hour later."""
    earlier = Issuer(clock=lambda: time.time() - ago)
    with responses.RequestsMock() as mocked:
        mocked.get(GOOGLES, json=earlier.certificates())
        if valid:
            assert id_token.verify_token(earlier.id_token(TOKEN), Request(), AUDIENCE, GOOGLES)["sub"]
        else:
            with pytest.raises(exceptions.InvalidValue, match=r"expired|too early"):
                id_token.verify_token(earlier.id_token(TOKEN), Request(), AUDIENCE, GOOGLES)


def test_the_key_set_verifies_the_same_tokens(issuer: Issuer, served: str) -> None:
    """From the two numbers of the public key, as PyJWT and others make a key of them."""
    (key,) = json.loads(Request()(served + KEYS).data)["keys"]
    modulus, exponent = (
        int.from_bytes(base64.urlsafe_b64decode(key[name] + "=" * (-len(key[name]) % 4))) for name in "ne"
    )
    token = issuer.id_token(TOKEN)
    header, _, signature = parts_of(token)
    signed = token.rpartition(".")[0].encode()

    assert {"alg": "RS256", "kid": key["kid"], "typ": "JWT"} == header
    assert ("RSA", "RS256", "sig") == (key["kty"], key["alg"], key["use"])
    rsa.RSAPublicNumbers(exponent, modulus).public_key().verify(
        signature, signed, padding.PKCS1v15(), hashes.SHA256()
    )
    assert [key["kid"]] == list(issuer.certificates())


def test_discovery_leads_to_the_keys(issuer: Issuer, served: str) -> None:
    """The issuer is the configured one, and answers may be kept for a short while only."""
    answer = Request()(served + DISCOVERY)
    document = json.loads(answer.data)

    assert (GOOGLE_ISSUER, served + KEYS) == (document["issuer"], document["jwks_uri"])
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    for path in (CERTIFICATES, KEYS, DISCOVERY):
        kept = Request()(served + path).headers["Cache-Control"]
        assert kept == "public, max-age=10, must-revalidate, no-transform"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js on this machine")
def test_node_verifies_a_token_with_the_pem_certificate(issuer: Issuer) -> None:
    """As its google-auth-library does: a signature over the first two parts, by the certificate of its kid."""
    script = (
        "const {certificates, token} = JSON.parse(require('fs').readFileSync(0));"
        "const [h, c, s] = token.split('.');"
        "const {kid} = JSON.parse(Buffer.from(h, 'base64').toString());"
        "const v = require('crypto').createVerify('sha256'); v.update(h + '.' + c);"
        "console.log(v.verify(certificates[kid], s, 'base64'));"
    )
    given = json.dumps({"certificates": issuer.certificates(), "token": issuer.id_token(TOKEN)})
    ended = subprocess.run(["node", "-e", script], input=given, capture_output=True, text=True, check=True)

    assert ended.stdout == "true\n"


def test_a_service_account_has_one_number(issuer: Issuer) -> None:
    """The same in every token and every run, and another one for another account."""

    def subject(of: Issuer, email: str) -> str:
        return str(parts_of(of.id_token(OidcToken(email, AUDIENCE)))[1]["sub"])

    assert subject(issuer, EMAIL) == subject(Issuer(), EMAIL)
    assert subject(issuer, EMAIL) != subject(issuer, "other@demo.example")


def test_one_key_is_made_however_many_ask_first() -> None:
    """Threads that begin at one moment sign with the same one."""
    issuer = Issuer()
    started = threading.Barrier(4)
    found: list[str] = []

    def ask() -> None:
        started.wait()
        found.append(parts_of(issuer.id_token(TOKEN))[0]["kid"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [*issuer.certificates()] * 4


def test_a_token_takes_the_place_of_the_tasks_own_authorization(issuer: Issuer) -> None:
    """However that is spelt; without a token it stays."""
    headers = {"AUTHORIZATION": "Basic mine", "X": "1"}

    assert headers == issuer.authorize(headers, None)
    for token, begins in ((TOKEN, "Bearer eyJ"), (OAuthToken(EMAIL, "scope"), "Bearer local-no-credential.")):
        made = dict(issuer.authorize(headers, token))
        assert made.pop("Authorization").startswith(begins)
        assert made == {"X": "1"}


def test_text_beyond_ascii_comes_through(issuer: Issuer, served: str) -> None:
    """An audience is the URL as the task has it."""
    audience = "https://worker.example/run?a=é&b=日本"

    assert verify(issuer.id_token(OidcToken(EMAIL, audience)), served, audience)["aud"] == audience


def _worker(served: str, seen: list[Any]) -> Flask:
    """A worker that verifies as in production and keeps what it learns."""
    app = Flask(__name__)

    @app.post("/run")
    def run() -> str:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        seen.append(verify(token, served)["email"])
        return ""

    return app


def test_deliveries_over_http_and_within_the_process_are_signed_alike(issuer: Issuer, served: str) -> None:
    """The same worker verifies both."""
    seen: list[Any] = []
    worker = make_server("127.0.0.1", 0, _worker(served, seen))
    thread = threading.Thread(target=worker.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{worker.port}/run"
    server = TasksServer()
    own = {"Authorization": "Basic mine"}
    token = {"service_account_email": EMAIL, "audience": AUDIENCE}
    http = {"url": url, "oidc_token": token, "headers": own}
    client_of(server).create_task(parent=QUEUE, task=http_task(http_request=http))
    attempt = server.lease()
    assert attempt is not None
    over_http = HttpDelivery({}, issuer)(attempt.delivery)
    within = WsgiDelivery(_worker(served, seen), issuer)(attempt.delivery)
    worker.shutdown()
    thread.join()
    worker.server_close()
    server.close()

    assert over_http is not None
    assert ([EMAIL, EMAIL], 200, 200) == (seen, over_http.status, within.status)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_delivery_without_a_token_has_no_authorization(issuer: Issuer, token: Token | None) -> None:
    """Nothing is sent that was not asked for."""
    seen: list[str | None] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.append(environ.get("HTTP_AUTHORIZATION"))
        start("200 OK", [])
        return []

    WsgiDelivery(app, issuer)(Delivery("t", "POST", "http://w.example/", {}, b"", 10.0, token=token))

    assert [token is not None] == [value is not None for value in seen]
