"""Who makes a request: what its headers prove, on the runtime that this is.

A header proves something only where nobody else can have set it. ``X-AppEngine-*`` do on App Engine, whose
front end strips them from requests that come from outside; everywhere else anybody may send them.
``X-CloudTasks-*`` never prove anything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, Protocol

from flask import Request

from fantasm_gcp.core.access import NOBODY, Caller, Identity, Role, is_listed
from fantasm_gcp.errors import IdentityError
from fantasm_gcp.settings import APP_ENGINE, CLOUD_RUN, DEVELOPMENT, Settings

Authorize = Callable[[Request], str | None]
"""An application's own word on who may operate it: "viewer", "operator" or None."""

PERSON, PROGRAM = True, False
"""Whether a browser sends the proof by itself."""

_IAP_HEADER: Final = "X-Goog-Iap-Jwt-Assertion"
_BEARER: Final = "bearer "


class Verifier(Protocol):
    """Verifies what callers show. Raises ``IdentityError``, and ``UnverifiedError`` where it cannot tell."""

    def id_token(self, token: str, audience: str) -> Identity: ...
    def assertion(self, assertion: str, audience: str) -> Identity: ...
    def verified_elsewhere(self, token: str, audience: str) -> Identity: ...


def identify(
    request: Request, settings: Settings, verifier: Callable[[], Verifier], authorize: Authorize | None
) -> Caller:
    """The caller, by the first proof there is; ``NOBODY`` without any.

    Raises ``IdentityError`` for a proof that is none, whatever else the request has: a caller who shows
    something wrong is not let in as somebody else. Raises ``UnverifiedError``.
    """
    on_app_engine = settings.runtime == APP_ENGINE and _is_behind_front_end(request, settings)
    if on_app_engine:
        caller = _of_app_engine(request)
        if caller is not None:
            return caller
    caller = _of_iap(request, settings, verifier) or _of_token(request, settings, verifier)
    if caller is None and on_app_engine:
        caller = _of_app_engine_user(request, settings)
    if caller is None and authorize is not None:
        caller = _of_application(authorize(request))
    return caller or NOBODY


def _is_behind_front_end(request: Request, settings: Settings) -> bool:
    """Whether it is App Engine that passes the request on.

    On a developer's machine the application's own port is open to the network; the development server's is
    what is meant to be used, and passes on from this machine.
    """
    return settings.app_engine_environment != DEVELOPMENT or is_loopback(request.remote_addr or "")


def _of_app_engine(request: Request) -> Caller | None:
    if request.headers.get("X-AppEngine-QueueName"):
        return Caller("Cloud Tasks", frozenset({Role.TASKS}))
    if request.headers.get("X-AppEngine-Cron") == "true":
        return Caller("cron", frozenset({Role.SCHEDULER}))
    return None


def _of_app_engine_user(request: Request, settings: Settings) -> Caller | None:
    """Who has signed in, where app.yaml asks for that.

    For App Engine everybody with a basic role in the project is an administrator, even if that is to look
    only. So they are operators only while nobody is named as one.
    """
    email = request.headers.get("X-AppEngine-User-Email", "")
    roles = _listed(Identity(email), settings) if email else frozenset()
    if request.headers.get("X-AppEngine-User-Is-Admin") == "1":
        roles |= {Role.VIEWER if settings.operators else Role.OPERATOR}
    return Caller(email or "an administrator", roles, PERSON) if email or roles else None


def _of_iap(request: Request, settings: Settings, verifier: Callable[[], Verifier]) -> Caller | None:
    """Whom Identity-Aware Proxy has let through; its other headers prove nothing without the assertion.

    It is looked at before tokens: IAP comes with one of its own, of an account that is nobody here.
    """
    assertion = request.headers.get(_IAP_HEADER)
    if not assertion:
        return None
    if not settings.iap_audience:
        raise IdentityError("an assertion of IAP was sent, and FANTASM_IAP_AUDIENCE does not say for whom")
    return _of_identity(verifier().assertion(assertion, settings.iap_audience), settings, PERSON)


def _of_token(request: Request, settings: Settings, verifier: Callable[[], Verifier]) -> Caller | None:
    """The account of a bearer token.

    Where Cloud Run has verified it, that is the one of ``X-Serverless-Authorization`` if there is one: it
    leaves the other header as the caller wrote it then.
    """
    verified_there = settings.verified_by == "cloud-run" and settings.runtime == CLOUD_RUN
    by_cloud_run = verified_there and "X-Serverless-Authorization" in request.headers
    header = request.headers.get("X-Serverless-Authorization" if by_cloud_run else "Authorization", "")
    if header[: len(_BEARER)].lower() != _BEARER:
        return None
    token = header[len(_BEARER) :].strip()
    if not settings.audience:
        raise IdentityError("an ID token was sent, and FANTASM_AUDIENCE does not say for whom it has to be")
    verify = verifier().verified_elsewhere if verified_there else verifier().id_token
    # `gcloud run services proxy` adds a person's token to whatever the browser sends.
    return _of_identity(verify(token, settings.audience), settings, verified_there)


def _of_identity(identity: Identity, settings: Settings, by_browser: bool) -> Caller:
    email = identity.email.lower()
    roles = _listed(identity, settings)
    if email == settings.service_account.lower():
        roles |= {Role.TASKS}
    if email == settings.scheduler_account.lower():
        roles |= {Role.SCHEDULER}
    return Caller(identity.email, roles, by_browser and not identity.is_service_account)


def _of_application(role: str | None) -> Caller | None:
    if role is None:
        return None
    if role not in (Role.VIEWER, Role.OPERATOR):
        raise TypeError(f"authorize answered {role!r}: it is to answer 'viewer', 'operator' or None")
    return Caller("a user of the application", frozenset({Role(role)}), PERSON)


def _listed(identity: Identity, settings: Settings) -> frozenset[Role]:
    lists = {
        Role.OPERATOR: settings.operators,
        Role.VIEWER: settings.viewers,
        Role.STARTER: settings.starters,
    }
    return frozenset(role for role, accounts in lists.items() if is_listed(identity, accounts))


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def address_of(request: Request, settings: Settings) -> str:
    """Where a request comes from, as the runtime in front of the application says."""
    if settings.runtime == APP_ENGINE:
        return request.headers.get("X-AppEngine-User-IP") or request.remote_addr or ""
    if settings.runtime == CLOUD_RUN:  # which appends the address to what the caller has written there
        return request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return request.remote_addr or ""
