"""What a worker fetches to verify a token: certificates, keys and discovery, at Google's own paths."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response, jsonify, request

from fantasm_gcp.local.tasks.configuration.tokens import Issuer

CERTIFICATES: Final = "/oauth2/v1/certs"
KEYS: Final = "/oauth2/v3/certs"
DISCOVERY: Final = "/.well-known/openid-configuration"

_MAX_AGE = 10
"""Seconds that an answer may be kept. Clients that cache do not ask again before, whatever key a token names,
and the key of a server that was started again is a new one."""


def create_certificate_pages(issuer: Issuer) -> Blueprint:
    """A blueprint that serves the public key of an issuer to whoever asks, for GET and HEAD.

    ``/oauth2/v1/certs`` is the map of PEM certificates that google-auth and Node's google-auth-library take
    as ``certs_url``; ``/oauth2/v3/certs`` the JSON Web Key Set. A verifier that begins at the discovery
    document wants its URL to begin with the issuer: give the :class:`Issuer` the name of this server then.
    """
    pages = Blueprint("certificates", __name__)

    @pages.get(CERTIFICATES)
    def certificates() -> Response:
        return _answer(issuer.certificates())

    @pages.get(KEYS)
    def keys() -> Response:
        return _answer(issuer.key_set())

    @pages.get(DISCOVERY)
    def discovery() -> Response:
        return _answer(
            {
                "issuer": issuer.name,
                "jwks_uri": request.root_url.rstrip("/") + KEYS,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "claims_supported": ["aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub"],
            }
        )

    return pages


def _answer(value: dict[str, Any]) -> Response:
    answer = jsonify(value)
    answer.headers["Cache-Control"] = f"public, max-age={_MAX_AGE}, must-revalidate, no-transform"
    return answer
