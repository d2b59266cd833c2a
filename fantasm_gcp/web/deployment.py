"""The definitions as one deployment serves them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.errors import SettingsError
from fantasm_gcp.settings import Settings

_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def deployed(definitions: Definitions, url_prefix: str | None) -> Definitions:
    """The definitions under a URL prefix, where one is given. Raises ``SettingsError`` for what is none."""
    return definitions if url_prefix is None else replace(definitions, root=_root(url_prefix))


def _root(url_prefix: str) -> str:
    root = "/" + url_prefix.strip("/")
    if not _PREFIX.fullmatch(root) or any(each in (".", "..") for each in root.split("/")):
        raise SettingsError(f"url_prefix={url_prefix!r} is no path like /fantasm or /office/flows")
    return root


def pin_of(settings: Settings) -> str | None:
    """Where the tasks of a pinned instance go: to the App Engine version that runs this."""
    version, service = settings.app_engine_version, settings.app_engine_service or "default"
    return f"{version}.{service}" if version and settings.has_app_engine_target else None


def service_of(settings: Settings) -> str:
    """The App Engine service of tasks that name none: the one that runs this; empty is the default one."""
    service = settings.app_engine_service
    return "" if service == "default" else service
