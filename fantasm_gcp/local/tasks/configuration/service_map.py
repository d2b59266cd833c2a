"""Where the services of App Engine are on this machine: a URL for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

DEFAULT = "default"

_KEY = re.compile(r"[A-Za-z0-9-]{1,100}(?:\.[A-Za-z0-9-]{1,100}){0,2}")
_KEY_RULE = "service, version.service or instance.version.service"


class ServiceMap:
    """The URL of the service, version and instance that an App Engine task is for.

    A key is ``service``, ``version.service`` or ``instance.version.service``, as in the host names of App
    Engine; the most exact one counts, then ``default``. One URL alone stands for all services.

    The header Host is that of the URL, and not ``SERVICE.PROJECT.appspot.com`` as in production: a local
    server checks its Host against names of this machine, to be safe from pages of other sites (Django's
    ``ALLOWED_HOSTS``, Flask's ``TRUSTED_HOSTS``, this library's own guard), and an application builds links
    from it that people are to follow here.
    """

    def __init__(self, bases: str | Mapping[str, str]) -> None:
        """Raises ``ValueError`` for a key or a URL that can be none."""
        given = {DEFAULT: bases} if isinstance(bases, str) else bases
        self._bases = {key: _checked(key, base) for key, base in given.items()}

    def __repr__(self) -> str:
        return f"ServiceMap({self._bases!r})"

    def find(self, service: str, version: str = "", instance: str = "") -> str:
        """The URL without a slash at its end; raises ``ConnectionError`` when there is none."""
        for key in _keys(service or DEFAULT, version, instance):
            if key in self._bases:
                return self._bases[key]
        raise ConnectionError(f"no URL is known for the App Engine service {service or DEFAULT!r}")


def parse_services(texts: Iterable[str]) -> dict[str, str]:
    """``worker=http://127.0.0.1:8090`` and the like as what :class:`ServiceMap` takes.

    A text without a key is for ``default``. Raises ``ValueError``, also for a key given twice.
    """
    services: dict[str, str] = {}
    for text in texts:
        key, separator, base = text.partition("=")
        if not separator or "://" in key:  # a URL may have an equals sign of its own
            key, base = DEFAULT, text
        if key in services:
            raise ValueError(f"the service {key!r} has two URLs: {services[key]} and {base}")
        services[key] = _checked(key, base)
    return services


def _keys(service: str, version: str, instance: str) -> Iterable[str]:
    if version and instance:
        yield f"{instance}.{version}.{service}"
    if version:
        yield f"{version}.{service}"
    yield service
    yield DEFAULT


def _checked(key: str, base: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is no service: write {_KEY_RULE}")
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", base):
        raise ValueError(f"{base!r} is no URL of a service: write http://127.0.0.1:8090 or the like")
    return base.rstrip("/")
