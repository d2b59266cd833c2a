"""``context.logger``: what actions log goes to the ``logging`` module and, where a machine asks for it, into
rows of its instance.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, TypeAlias

from fantasm_gcp.core.context import Scope
from fantasm_gcp.core.names import hashed
from fantasm_gcp.core.records import LogLine, Step

log = logging.getLogger("fantasm_gcp.actions")

UNPRINTABLE = "(a message that cannot be had: its str() raised an error)"
"""What is logged instead of an object that has no words."""

MESSAGE_LIMIT = 10_000
STACK_LIMIT = 16_000
"""Characters kept of a message, from its beginning, and of a stack, from its end, the mark included."""

TAG_LIMIT = 1_500
"""Bytes that are kept of a tag: Datastore's limit for indexed text."""
MOST_TAGS = 50

MOST_LINES = 500
MOST_BYTES = 1_000_000
"""What is kept of one attempt: its lines are committed with its step, and a commit takes 10 MiB."""

_LINE_BYTES = 1_000  # names, times and what else a line has beside its texts

_Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]


@dataclass(frozen=True, slots=True)
class _Said:
    """A line before it has a name."""

    action: str
    time: float
    level: int
    message: str
    tags: tuple[str, ...] = ()
    stack: str | None = None

    @property
    def size(self) -> int:
        texts = (self.message, self.stack or "", *self.tags)
        return sum(len(each.encode()) for each in texts) + _LINE_BYTES


class ContextLogger:
    """What one attempt of a step logs with.

    The methods are those of ``logging.Logger``, with one more option: ``tags``, texts that are kept with the
    line. Everything goes to the logger ``fantasm_gcp.actions``; its records have the attributes ``instance``,
    ``machine``, ``state``, ``event``, ``step``, ``action`` and ``tags``, and those of ``extra`` above them. A
    line is never lost because its message, or an argument of it, cannot be made text.

    With ``persistent`` lines are kept as well, whatever the ``logging`` module does with them: the first
    :data:`MOST_LINES` of an attempt, or :data:`MOST_BYTES`. ``clock`` gives seconds of the epoch.
    """

    def __init__(self, step: Step, scope: Scope, clock: Callable[[], float], persistent: bool) -> None:
        self._step = step
        self._scope = scope
        self._clock = clock
        self._persistent = persistent
        self._least = logging.NOTSET
        self._most: float = float("inf")
        self._kept: list[_Said] = []
        self._room = MOST_BYTES
        self._dropped = 0
        self._last_dropped = 0.0

    def set_level(self, level: int | str) -> None:
        """Logs nothing below a level: a number of the ``logging`` module, or its name."""
        self._least = _number(level)

    setLevel = set_level  # noqa: N815  Fantasm's name for it

    def set_max_level(self, level: int | str) -> None:
        """Logs nothing above a level."""
        self._most = _number(level)

    setMaxLevel = set_max_level  # noqa: N815  Fantasm's name for it

    def debug(self, message: object, *args: object, **options: Any) -> None:
        """Logs at the level DEBUG; ``options`` are those of :meth:`log`."""
        self._log(logging.DEBUG, message, args, **options)

    def info(self, message: object, *args: object, **options: Any) -> None:
        """Logs at the level INFO; ``options`` are those of :meth:`log`."""
        self._log(logging.INFO, message, args, **options)

    def warning(self, message: object, *args: object, **options: Any) -> None:
        """Logs at the level WARNING; ``options`` are those of :meth:`log`."""
        self._log(logging.WARNING, message, args, **options)

    warn = warning

    def error(self, message: object, *args: object, **options: Any) -> None:
        """Logs at the level ERROR; ``options`` are those of :meth:`log`."""
        self._log(logging.ERROR, message, args, **options)

    def critical(self, message: object, *args: object, **options: Any) -> None:
        """Logs at the level CRITICAL; ``options`` are those of :meth:`log`."""
        self._log(logging.CRITICAL, message, args, **options)

    fatal = critical

    def exception(self, message: object, *args: object, **options: Any) -> None:
        """Logs at the level ERROR, with the traceback of the exception that is being handled."""
        self._log(logging.ERROR, message, args, **({"exc_info": True} | options))

    def log(self, level: int | str, message: object, *args: object, **options: Any) -> None:
        """Logs at a level. ``message`` is interpolated with ``args`` where there are any.

        ``options``: ``tags``, an iterable of texts; ``exc_info``, ``stack_info``, ``stacklevel`` and
        ``extra`` as the ``logging`` module has them. Where ``exc_info`` is asked for and there is no
        exception, there is no stack.
        """
        self._log(_number(level), message, args, **options)

    def take(self, epoch: int, attempt: int) -> tuple[LogLine, ...]:
        """The lines to be kept, as they are named in this attempt: the same on every call.

        Where some were dropped, the last line says how many.
        """
        said = list(self._kept)
        if self._dropped:
            if len(said) == MOST_LINES:
                del said[-1]
            lost = self._dropped + len(self._kept) - len(said)
            lines = "line of this attempt was" if lost == 1 else "lines of this attempt were"
            note = f"({lost:,} more {lines} not kept)"
            said.append(_Said("", self._last_dropped, logging.WARNING, note))
        return tuple(self._line(each, f"e{epoch}-a{attempt}-l{i:03}") for i, each in enumerate(said))

    def _line(self, said: _Said, place: str) -> LogLine:
        return LogLine(
            name=hashed(f"{self._step.name}--{place}"),
            step=self._step,
            action=said.action,
            time=said.time,
            level=said.level,
            message=said.message,
            tags=said.tags,
            stack=said.stack,
        )

    def _log(
        self,
        level: int,
        message: object,
        args: tuple[object, ...],
        *,
        exc_info: object = None,
        stack_info: bool = False,
        stacklevel: int = 1,
        extra: Mapping[str, object] | None = None,
        tags: Iterable[object] = (),
    ) -> None:
        if not self._least <= level <= self._most:
            return
        heard = log.isEnabledFor(level)
        if not heard and not self._persistent:
            return
        words = _worded(level, message, args)
        raised = _raised(exc_info)
        marks = _marks(tags)
        if self._persistent:
            frame = _caller(stacklevel) if stack_info else None
            self._keep(level, words.text, marks, _stack(raised, frame))
        if heard:
            log.log(
                level,
                words.template,
                *words.args,
                exc_info=raised,
                stack_info=stack_info,
                stacklevel=stacklevel + 2,  # this method, and the one that a user called
                extra={**self._attributes(marks), **(extra or {})},
            )

    def _attributes(self, tags: tuple[str, ...]) -> dict[str, object]:
        scope = self._scope
        return {
            "instance": scope.instance,
            "machine": scope.machine,
            "state": scope.state,
            "event": scope.event,
            "step": scope.step,
            "action": scope.action,
            "tags": tags,
        }

    def _keep(self, level: int, text: str, tags: tuple[str, ...], stack: str | None) -> None:
        now = self._clock()
        said = _Said(self._scope.action, now, level, _cut(text), tags, stack)
        # Nothing after the first line that is dropped is kept, so that none is missing in between.
        if self._dropped or len(self._kept) == MOST_LINES or said.size > self._room:
            self._dropped += 1
            self._last_dropped = now
        else:
            self._kept.append(said)
            self._room -= said.size


def _number(level: int | str) -> int:
    """A level's number. Raises ``ValueError`` for a name that is none, as the ``logging`` module does."""
    if isinstance(level, int):
        return level
    try:
        return logging.getLevelNamesMapping()[level]
    except KeyError:
        raise ValueError(f"unknown level: {level!r}") from None


@dataclass(frozen=True, slots=True)
class _Words:
    """A message for the ``logging`` module, and the text that it makes of it."""

    template: str
    args: tuple[object, ...]
    text: str


def _worded(level: int, message: object, args: tuple[object, ...]) -> _Words:
    """What a message says, whatever it is."""
    try:
        template = str(message)
    except Exception:  # noqa: BLE001  any object may be logged, and anything may happen in its __str__
        return _Words(UNPRINTABLE, (), UNPRINTABLE)
    if not args:
        return _Words(template, (), template)
    try:
        text = logging.LogRecord(log.name, level, "", 0, template, args, None).getMessage()
    except Exception:  # noqa: BLE001  too few arguments, too many, of a wrong type, or without words
        text = f"{template} (its arguments do not fit: {', '.join(map(_shown, args))})"
        return _Words(text, (), text)
    return _Words(template, args, text)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  anything may happen in a __repr__
        return f"({type(value).__name__} without words)"


def _raised(exc_info: object) -> _Raised | None:
    """The exception that ``exc_info`` means, as the ``logging`` module takes it; None where there is none."""
    if not exc_info:
        return None
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    kind, error, trace = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
    return None if error is None else (kind, error, trace)


def _caller(stacklevel: int) -> FrameType | None:
    """The frame that a line comes from: behind this function, ``_log`` and the method that was called."""
    frame: FrameType | None = sys._getframe(3)
    for _ in range(stacklevel - 1):
        frame = frame.f_back if frame else None
    return frame


def _stack(raised: _Raised | None, frame: FrameType | None) -> str | None:
    """The traceback of an exception, and the stack of the line itself where that is asked for."""
    parts = []
    if raised is not None:
        parts += traceback.format_exception(*raised)
    if frame is not None:
        parts += ["Stack (most recent call last):\n", *traceback.format_stack(frame)]
    if not parts:
        return None
    text = _storable("".join(parts))
    mark = f"(cut: the last part of {len(text):,} characters)\n"
    return text if len(text) <= STACK_LIMIT else mark + text[len(mark) - STACK_LIMIT :]


def _cut(text: str) -> str:
    stored = _storable(text)
    mark = f" (cut: the first part of {len(stored):,} characters)"
    return stored if len(stored) <= MESSAGE_LIMIT else stored[: MESSAGE_LIMIT - len(mark)] + mark


def _marks(tags: Iterable[object]) -> tuple[str, ...]:
    """Tags as they are kept: each once, a text alone being one, and no more than :data:`MOST_TAGS`."""
    given = [tags] if isinstance(tags, str) else list(tags or ())
    texts = list(dict.fromkeys(_tag(each) for each in given))
    if len(texts) <= MOST_TAGS:
        return tuple(texts)
    return (*texts[: MOST_TAGS - 1], f"({len(texts) - MOST_TAGS + 1} more tags)")


def _tag(tag: object) -> str:
    return _storable(_worded(logging.INFO, tag, ()).text).encode()[:TAG_LIMIT].decode("utf-8", "ignore")


def _storable(text: str) -> str:
    """A text without the lone surrogates that no protobuf takes."""
    return text.encode("utf-8", "backslashreplace").decode()
