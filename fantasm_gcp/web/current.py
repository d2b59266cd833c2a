"""The extension of the application that handles the current request."""

from __future__ import annotations

from typing import Any, Protocol

from flask import current_app

from fantasm_gcp.console.views import Served
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.start import Started
from fantasm_gcp.web.guard import Guard

EXTENSION = "fantasm"
"""Its key in ``app.extensions``."""


class Serving(Served, Protocol):
    """What views use of the extension: the definitions, settings, history, and the engine's services."""

    @property
    def services(self) -> Services: ...

    @property
    def has_app_engine_target(self) -> bool:
        """Whether App Engine delivers the tasks."""

    @property
    def guard(self) -> Guard:
        """What lets requests in."""

    @property
    def datastore(self) -> Any:
        """The Datastore client that actions use."""

    def start_machine(self, machine: str, *arguments: Any, **options: Any) -> tuple[Started, ...]: ...


def current_fantasm() -> Serving:
    """The extension of the application that handles the current request.

    Raises ``RuntimeError`` outside of requests and application contexts.
    """
    if not current_app:
        raise RuntimeError(
            "which application is meant? Inside a request that is clear; elsewhere write "
            "`with app.app_context():` with the Flask application that Fantasm serves"
        )
    extension: Serving = current_app.extensions[EXTENSION]
    return extension
