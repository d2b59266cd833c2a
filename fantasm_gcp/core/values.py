"""From a scalar of the file to the value of an attribute, or to the reason why not.

YAML 1.1 makes booleans of ``on`` and ``no``, numbers of ``1:30`` and ``010``, dates of ``2026-01-01``. None
of that is taken silently: where text is wanted, the message says what YAML made of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from fantasm_gcp.core.attributes import Attribute, Kind
from fantasm_gcp.core.definition import NAME_PATTERN, QUEUE_PATTERN
from fantasm_gcp.core.findings import did_you_mean, quoted
from fantasm_gcp.core.node import Scalar

LIST_HINT = "begin each item with a dash: '- '"

_NAME_RULE = "a name is 1 to 50 letters, digits and dashes"
_QUEUE_RULE = "a queue's name is 1 to 100 letters, digits and dashes"
_SERVICE_PATTERN = r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,2}"
_SERVICE_RULE = (
    "write service, version.service or instance.version.service, each of 1 to 63 letters, digits and dashes"
)
_PATH_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_LONGEST_PATH = 200
_BOOLEAN_WORDS = {"true": "true", "yes": "true", "on": "true", "y": "true", "1": "true"} | {
    "false": "false",
    "no": "false",
    "off": "false",
    "n": "false",
    "0": "false",
}
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_DECIMAL_TEXT = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_LARGEST_SHOWN = 10**15
_LONGEST_NUMBER = 40


class UnusableError(Exception):
    """A scalar is not a value of the attribute; ``message`` says why, ``hint`` what to write."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


def read_value(attribute: Attribute, scalar: Scalar) -> Any:
    """The value of an attribute of a single value: str, bool, int or float by its kind.

    An EVENT may be the name of a constant, which nobody has looked up yet. A COUNTDOWN is read as a number
    here: a mapping is for ``core.composed``. Raises :class:`UnusableError`.
    """
    if scalar.kind == "null":
        raise _no_value(attribute, scalar)
    match attribute.kind:
        case Kind.FLAG:
            return _flag(attribute, scalar)
        case Kind.COUNT | Kind.SECONDS | Kind.PERIOD | Kind.COUNTDOWN:
            return _bounded(attribute, scalar, _number(attribute, scalar))
        case Kind.NAME:
            return read_name(attribute, scalar)
        case Kind.EVENT:
            return scalar.text if _may_be_a_constant(scalar) else read_name(attribute, scalar)
        case Kind.QUEUE:
            return _matching(attribute, scalar, QUEUE_PATTERN, _QUEUE_RULE)
        case Kind.NAMESPACE | Kind.ACTION:
            return _dotted(attribute, scalar)
        case Kind.SERVICE:
            return _service(attribute, scalar)
        case Kind.CHOICE:
            return _choice(attribute, scalar)
        case Kind.TEXT | Kind.FILES | Kind.RECEIVERS:
            return _filled(attribute, scalar)
        case Kind.URL_PATH:
            return _url_path(attribute, scalar)
        case Kind.TYPES:
            raise UnusableError(f"{attribute.name} must be a mapping", "write each as 'argument: type'")
        case Kind.LIST:
            raise UnusableError(f"{attribute.name} must be a list", LIST_HINT)


def read_name(attribute: Attribute, scalar: Scalar) -> str:
    """Text that is allowed as a name; raises :class:`UnusableError`."""
    return _matching(attribute, scalar, NAME_PATTERN, _NAME_RULE)


def is_dotted(text: str) -> bool:
    """Whether a text is Python names with dots between them, or one without."""
    return all(part.isidentifier() for part in text.split("."))


def _may_be_a_constant(scalar: Scalar) -> bool:
    return scalar.kind == "text" and is_dotted(scalar.text)


def _no_value(attribute: Attribute, scalar: Scalar) -> UnusableError:
    """To remove the line is advised only where the attribute may be absent."""
    otherwise = f"; {attribute.needed}" if attribute.needed else ", or remove the line"
    otherwise = "" if attribute.required else otherwise
    if not scalar.text:
        return UnusableError(f"{attribute.name} has no value", f"write one{otherwise}")
    return UnusableError(
        f"{attribute.name} has no value: YAML reads {scalar.text} as null",
        f'write "{scalar.text}" for the text{otherwise}',
    )


def _text(attribute: Attribute, scalar: Scalar, fits: Callable[[str], object] = bool, rule: str = "") -> str:
    """The text; where YAML made something else of it, quotes are advised only if it ``fits`` then."""
    if scalar.kind == "text":
        return scalar.text
    message = f"{attribute.name} must be text, but YAML reads {_shown(scalar)} as {_reading(scalar)}"
    raise UnusableError(message, f'write "{_shown(scalar)}"' if fits(scalar.text) else rule)


def _reading(scalar: Scalar) -> str:
    """What YAML made of a scalar, in words."""
    if isinstance(scalar.value, bool):
        return "the boolean true" if scalar.value else "the boolean false"
    if isinstance(scalar.value, int | float):
        # Python refuses to write out integers of thousands of digits.
        return f"the number {scalar.value}" if abs(scalar.value) < _LARGEST_SHOWN else "a number"
    return "a date"


def _shown(scalar: Scalar) -> str:
    """What is written, for a message: on one line and not too long."""
    return quoted(scalar.text)[1:-1]


def _filled(attribute: Attribute, scalar: Scalar) -> str:
    text = _text(attribute, scalar)
    if text:
        return text
    raise UnusableError(f"{attribute.name} is empty", "write some text, or remove the line")


def _matching(attribute: Attribute, scalar: Scalar, pattern: str, rule: str) -> str:
    fits = re.compile(pattern).fullmatch
    text = _text(attribute, scalar, fits, rule)
    if fits(text):
        return text
    near = re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-")
    hint = f"{rule}, for example {near}" if re.fullmatch(pattern, near) else rule
    raise UnusableError(f"{attribute.name} {quoted(text)} is not allowed", hint)


def _dotted(attribute: Attribute, scalar: Scalar) -> str:
    rule = f"write it like {'package.module.Class' if attribute.kind is Kind.ACTION else 'package.module'}"
    text = _text(attribute, scalar, is_dotted, rule)
    if is_dotted(text):
        return text
    raise UnusableError(f"{attribute.name} {quoted(text)} is not a dotted Python name", rule)


def _service(attribute: Attribute, scalar: Scalar) -> str:
    fits = re.compile(_SERVICE_PATTERN).fullmatch
    text = _text(attribute, scalar, fits, _SERVICE_RULE)
    if fits(text):
        return text
    raise UnusableError(f"{attribute.name} {quoted(text)} is not allowed", _SERVICE_RULE)


def _choice(attribute: Attribute, scalar: Scalar) -> str:
    rule = f"write {' or '.join(attribute.choices)}"
    text = _text(attribute, scalar, attribute.choices.__contains__, rule)
    if text in attribute.choices:
        return text
    raise UnusableError(
        f"{attribute.name} {quoted(text)} is not known", did_you_mean(text, attribute.choices) or rule
    )


def _url_path(attribute: Attribute, scalar: Scalar) -> str:
    text = _text(attribute, scalar)
    segments = text.removeprefix("/").removesuffix("/").split("/")
    wrong = f"{attribute.name} {quoted(text)} is not allowed"
    if segments == [""]:
        raise UnusableError(wrong, "everything else of the application is under / as well; write /fantasm")
    if any(segment in (".", "..") for segment in segments):
        raise UnusableError(wrong, "segments of dots stand for other paths")
    if not all(map(_PATH_SEGMENT.fullmatch, segments)):
        raise UnusableError(
            wrong, "write a path like /fantasm: letters, digits and -._~ between single slashes"
        )
    if len(text) > _LONGEST_PATH:
        raise UnusableError(wrong, f"it is longer than {_LONGEST_PATH} characters")
    return "/" + "/".join(segments)


def _flag(attribute: Attribute, scalar: Scalar) -> bool:
    if isinstance(scalar.value, bool):
        return scalar.value
    meant = _BOOLEAN_WORDS.get(scalar.text.strip().lower())
    what = f"the text {quoted(scalar.text)}" if scalar.kind == "text" else _reading(scalar)
    hint = f"write {meant}, without quotes" if meant else "write true or false"
    raise UnusableError(f"{attribute.name} must be true or false, not {what}", hint)


def _number(attribute: Attribute, scalar: Scalar) -> int | float:
    """The number; text that is a plain decimal number counts, as it did in Fantasm."""
    if scalar.kind == "text" and _DECIMAL_TEXT.fullmatch(scalar.text) and len(scalar.text) < _LONGEST_NUMBER:
        return float(scalar.text) if "." in scalar.text else int(scalar.text)
    if isinstance(scalar.value, bool) or not isinstance(scalar.value, int | float):
        what = f"the text {quoted(scalar.text)}" if scalar.kind == "text" else _reading(scalar)
        raise UnusableError(f"{attribute.name} must be a number, not {what}", "write it in digits, like 30")
    if ":" in scalar.text or _OCTAL.fullmatch(scalar.text):
        raise UnusableError(
            f"{attribute.name} is ambiguous: YAML reads {_shown(scalar)} as {_reading(scalar)}",
            "write it in digits, without a leading zero or a colon",
        )
    return scalar.value


def _bounded(attribute: Attribute, scalar: Scalar, number: int | float) -> int | float:
    shown = f"{attribute.name} {_shown(scalar)}"
    if isinstance(number, float) and not math.isfinite(number):
        raise UnusableError(f"{shown} is not a finite number")
    if attribute.kind is Kind.COUNT and not isinstance(number, int):
        raise UnusableError(f"{shown} must be a whole number")
    if attribute.kind is Kind.PERIOD and number <= 0:
        raise UnusableError(f"{shown} must be more than 0", "it is a number of seconds")
    if number < attribute.minimum:
        raise UnusableError(f"{shown} must be {attribute.minimum} or more")
    if attribute.maximum is not None and number > attribute.maximum:
        raise UnusableError(f"{shown} is too large", f"the most is {attribute.maximum}")
    return number
