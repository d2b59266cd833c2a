"""Setting the ``logging`` module up: one handler on the root logger, to the standard output.

Cloud Logging reads what App Engine and Cloud Run write there.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from fantasm_gcp.observing.lines import JsonFormatter, TextFormatter
from fantasm_gcp.settings import Settings

OWN: Final = "fantasm_gcp"
"""The logger above all of this package."""

PATIENCE: Final = 60.0
"""Seconds after which a project that could not be found is asked for again."""


class LineHandler(logging.Handler):
    """Writes each record in one piece to a stream: the standard output as it is at that moment."""

    def __init__(self, formatter: logging.Formatter, stream: TextIO | None = None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record. Where that fails, ``logging`` says so on the standard error: nothing raises."""
        try:
            stream = self._stream or sys.stdout
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001  as every handler of the logging module
            self.handleError(record)


class Project:
    """The project, found when a line first needs it.

    Finding it may fail, which is no reason to lose a line, and may log, which must not find it again.
    """

    def __init__(self, find: Callable[[], str]) -> None:
        self._find = find
        self._name = ""
        self._again = 0.0
        self._busy = threading.local()

    def __call__(self) -> str:
        """Its id, or nothing while that is not known."""
        if self._name or getattr(self._busy, "finding", False) or time.monotonic() < self._again:
            return self._name
        self._busy.finding = True
        try:
            self._name = self._find()
        except Exception:  # noqa: BLE001  whatever it is, the line is written without a project
            self._name = ""
        finally:
            self._busy.finding = False
        if not self._name:
            self._again = time.monotonic() + PATIENCE
        return self._name


def set_up(
    settings: Settings,
    project: Callable[[], str] | None = None,
    *,
    root: logging.Logger | None = None,
    stream: TextIO | None = None,
) -> bool:
    """Has everything that is logged written as the settings say, and answers whether it did that.

    It adds a handler to the root logger, and makes the loggers of this package log from INFO on where they
    have no level. It changes nothing where the settings leave logging alone, and where the root logger has a
    handler already: who configured that keeps it, and may give it a :class:`JsonFormatter`. May be repeated.

    ``project`` is asked for the project when a line first needs it, for settings that have to be completed
    over the network. ``root`` and ``stream`` are for tests.
    """
    form = settings.logs or ("json" if settings.is_in_cloud else "none")
    top = root or logging.getLogger()
    if form == "none" or top.handlers:
        return False
    top.addHandler(LineHandler(formatter_of(settings, project), stream))
    own = logging.getLogger(OWN)
    if own.level == logging.NOTSET:
        own.setLevel(logging.INFO)
    return True


def formatter_of(settings: Settings, project: Callable[[], str] | None = None) -> logging.Formatter:
    """The formatter that the settings ask for, for a handler of one's own."""
    if settings.logs == "text":
        return TextFormatter()
    service = settings.app_engine_service or settings.cloud_run_service or settings.service
    return JsonFormatter(Project(project or (lambda: settings.project)), service, settings.version)
