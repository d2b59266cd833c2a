"""Machines beside a WSGI application that is not Flask's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flask import Flask

from fantasm_gcp.settings import Settings
from fantasm_gcp.web.extension import WARMUP, Fantasm

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def mount(application: WSGIApplication, settings: Settings | None = None, **options: Any) -> Mounted:
    """A WSGI application that serves machines under ``/fantasm``, and all else as ``application`` does.

    The definition file is looked for in the current directory; ``options`` are those of
    :class:`fantasm_gcp.Fantasm`, which ``.fantasm`` of the answer is, and which raises what that raises::

        application = mount(get_wsgi_application(), Settings.from_environ(os.environ))

    Nothing of ``application`` has to know of it. Actions start machines with ``context.spawn``, all else with
    ``application.fantasm.start_machine``.
    """
    return Mounted(application, settings, options)


class Mounted:
    """What :func:`mount` makes: ``flask_app`` serves the machines' paths, ``other`` everything else."""

    def __init__(self, other: WSGIApplication, settings: Settings | None, options: dict[str, Any]) -> None:
        self.other = other
        self.flask_app = Flask("fantasm_gcp_mounted", root_path=os.getcwd(), static_folder=None)
        self.fantasm = Fantasm(self.flask_app, settings, **options)
        root = self.fantasm.definitions.root
        self._own = {root} | ({WARMUP} if self.fantasm.is_deployed else set())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        path = environ.get("PATH_INFO", "")
        own = path in self._own or path.startswith(f"{self.fantasm.definitions.root}/")
        return (self.flask_app if own else self.other)(environ, start_response)
