"""Log lines as Cloud Logging reads them: one JSON object each, and what Error Reporting makes of it.

The names of the fields, and which of them Error Reporting looks at, are those of Google's pages on structured
logging and on formatting error messages.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from fantasm_gcp.observing.plain import cut, plain, shown, storable, words
from fantasm_gcp.observing.scope import Scope, current

ENTRY_LIMIT = 256 * 1024
"""Bytes of a whole entry, after which Cloud Logging refuses or divides it; the limits below keep to it."""

MESSAGE_LIMIT = 80_000
STACK_LIMIT = 80_000
FIELDS_LIMIT = 32_000
LABELS_LIMIT = 1_000
MOST_LABELS = 20
"""Bytes of JSON of a message, a stack, each of the two groups of further fields, and each label or place."""

ERROR_EVENT = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"

FIELDS = "fantasm"
"""The attribute of a log record, and the field of a line, that holds what a line says to programs."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", FIELDS}

_LEVELS = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (25, "NOTICE"), (20, "INFO"))


def severity_of(level: int) -> str:
    """A level of the ``logging`` module as Cloud Logging names it; 25 is a notice."""
    return next((name for least, name in _LEVELS if level >= least), "DEBUG")


class JsonFormatter(logging.Formatter):
    """Makes a JSON object, on one line, of every log record, and never raises.

    ``project`` is asked for when the first line needs it; while it is not known, traces are named without
    it. ``service`` and ``version`` are what Error Reporting groups errors under.
    """

    def __init__(self, project: Callable[[], str], service: str, version: str) -> None:
        super().__init__()
        self._project = project
        self._context = {"service": service} | ({"version": version} if version else {})

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end."""
        return json.dumps(self.entry(record), separators=(",", ":"))

    def entry(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the line of a record holds."""
        scope = current() or Scope()
        place = {"file": record.pathname, "line": str(record.lineno), "function": record.funcName or ""}
        made: dict[str, Any] = {
            "severity": severity_of(record.levelno),
            "message": cut(message_of(record), MESSAGE_LIMIT),
            "time": _time(record.created),
            "logging.googleapis.com/sourceLocation": _short(place),
            "logger": cut(words(record.name), LABELS_LIMIT),
        }
        if scope.trace is not None:
            project = self._project()
            name = f"projects/{project}/traces/{scope.trace.id}" if project else scope.trace.id
            made["logging.googleapis.com/trace"] = name
            made["logging.googleapis.com/trace_sampled"] = scope.trace.is_sampled
            if scope.trace.span:
                made["logging.googleapis.com/spanId"] = scope.trace.span
        if scope.labels:
            made["logging.googleapis.com/labels"] = _short(scope.labels)
        if scope.request:
            made["httpRequest"] = _short(scope.request)
        return made | self._of_stack(record) | _of_extra(record, scope.labels)

    def _of_stack(self, record: logging.LogRecord) -> dict[str, Any]:
        """The traceback of a record: of an error where Error Reporting looks for it, else where it does not.

        On both runtimes it takes every line with a ``stack_trace`` for an error, whatever its severity.
        """
        stack = cut(stack_of(record), STACK_LIMIT, keep_end=True)
        if not stack:
            return {}
        if record.levelno < logging.ERROR or not record.exc_info:
            return {"traceback": stack}
        return {"stack_trace": stack, "@type": ERROR_EVENT, "serviceContext": self._context}


class TextFormatter(logging.Formatter):
    """Makes lines for people: time, severity, logger, instance, message, and the traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        scope = current()
        instance = scope.labels.get("fantasm_instance", "") if scope else ""
        state = scope.labels.get("fantasm_state", "") if scope else ""
        where = f" [{instance} {state}]".replace(" ]", "]") if instance else ""
        head = f"{_time(record.created)} {severity_of(record.levelno):<8} {words(record.name)}{where}"
        stack = stack_of(record)
        return f"{head} {message_of(record)}" + (f"\n{stack}" if stack else "")


def message_of(record: logging.LogRecord) -> str:
    """What a record says, where its arguments do not fit too."""
    try:
        return storable(record.getMessage())
    except Exception:  # noqa: BLE001  too few arguments, too many, of a wrong type, or without words
        return f"{words(record.msg)} (its arguments do not fit: {shown(record.args)})"


def stack_of(record: logging.LogRecord) -> str:
    """The traceback of a record's exception, and the stack that it was made at, where it has them."""
    parts = []
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        try:
            parts.append("".join(traceback.format_exception(*record.exc_info)))
        except Exception:  # noqa: BLE001  the exception is the user's: its class may raise anything
            parts.append(f"{type(record.exc_info[1]).__name__}: (its traceback cannot be had)")
    if record.stack_info:
        parts.append(words(record.stack_info))
    return storable("\n".join(parts).rstrip())


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    except (ValueError, OverflowError, OSError):  # a record may be made by hand
        return "1970-01-01T00:00:00Z"


def _short(texts: Mapping[str, object]) -> dict[str, str]:
    named = list(texts.items())[:MOST_LABELS]
    return {cut(words(name), LABELS_LIMIT): cut(words(text), LABELS_LIMIT) for name, text in named}


_NO_LABELS: Mapping[str, str] = MappingProxyType({})


def _of_extra(record: logging.LogRecord, labels: Mapping[str, str] = _NO_LABELS) -> dict[str, Any]:
    """What a record was given beside its message, but for what the labels say already."""
    made: dict[str, Any] = {}
    if FIELDS in vars(record):
        made[FIELDS] = _bounded(plain(getattr(record, FIELDS)))
    extra = {name: value for name, value in vars(record).items() if name not in _OWN}
    if labels:
        extra = {name: value for name, value in extra.items() if not _is_said(name, value, labels)}
    return made | ({"extra": _bounded(plain(extra))} if extra else {})


def _is_said(name: str, value: object, labels: Mapping[str, str]) -> bool:
    return isinstance(value, str) and labels.get(f"fantasm_{name}") == value


def _bounded(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= FIELDS_LIMIT else cut(text, FIELDS_LIMIT)
