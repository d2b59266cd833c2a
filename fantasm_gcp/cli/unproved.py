"""What the command line says where an application does not know who asks, or lets somebody else only in."""

from __future__ import annotations

from email.message import Message
from typing import Final
from urllib.parse import urlsplit

from fantasm_gcp.cli.table import one_line

_LONGEST = 500

_IAP: Final = "X-Goog-IAP-Generated-Response"
"""Identity-Aware Proxy sets it on what it answers itself."""

_SIGN_IN_HOST: Final = "accounts.google.com"
_SIGN_IN_PATHS: Final = ("/_ah/login", "/_ah/conflogin")
"""App Engine's own, in front of Google's page; its development server has the first one alone."""


def tell_redirect(url: str, headers: Message) -> str:
    """Where an application leads to instead of answering, and what to do about it."""
    location = _shown(headers.get("Location", ""))
    if headers.get(_IAP):
        return f"{url} is behind Identity-Aware Proxy, which asks who you are.\n{_of_iap()}"
    parts = _split(location)
    if parts is not None and (parts[0] == _SIGN_IN_HOST or parts[1] in _SIGN_IN_PATHS):
        return (
            f"{url} leads to the page for signing in: its app.yaml has login: admin (or required) for these "
            "paths, which lets a browser in and no ID token.\n"
            "The command line needs them without it: the application looks itself who asks, and "
            "FANTASM_OPERATORS names who may."
        )
    whither = location or "nowhere"
    return f"{url} answered with a redirect to {whither}, which is not followed: --url names another place"


def tell_unproved(url: str, status: int, said: str, headers: Message, *, has_token: bool) -> str:
    """What was answered, with 401 or 403, and how to get a token that might do."""
    first = _shown(said) or f"{url} answered {status}"
    if headers.get(_IAP):
        return f"{first}\n{_of_iap()}"
    if not has_token:
        why = (
            "an ID token says who you are, by --token or FANTASM_TOKEN: of an account in the application's "
            "FANTASM_OPERATORS, FANTASM_VIEWERS or FANTASM_STARTERS"
        )
    elif status == 401:
        why = (
            "the token was not taken: it lasts an hour, and has to be for the application's FANTASM_AUDIENCE"
        )
    else:
        why = "the token's account may not do this: the application's FANTASM_OPERATORS says who may"
    return f"{first}\n{why}:\n{_command(url)}"


def _of_iap() -> str:
    return (
        "Identity-Aware Proxy takes an ID token for its OAuth client, by --token or FANTASM_TOKEN, of "
        f"an account with the role roles/iap.httpsResourceAccessor:\n{_command('CLIENT_ID')}"
    )


def _command(audience: str) -> str:
    """The command that prints a token. Without ``--include-email`` it would not say whose it is."""
    return (
        "  gcloud auth print-identity-token --include-email \\\n"
        f"      --impersonate-service-account=NAME@PROJECT.iam.gserviceaccount.com --audiences={audience}"
    )


def _shown(text: str) -> str:
    """What a server said, on one line and not too long of one."""
    return one_line(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def _split(location: str) -> tuple[str, str] | None:
    """The host and the path that a redirect leads to; None for what cannot be read."""
    try:
        parts = urlsplit(location)
        return parts.hostname or "", parts.path
    except ValueError:
        return None
