"""Importing users' modules and taking things out of them: whatever they raise becomes a problem."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from fantasm_gcp.core.findings import closest, did_you_mean, quoted
from fantasm_gcp.core.node import Place
from fantasm_gcp.errors import DefinitionError

_HERE = Path(__file__).parent
_MOVED = (
    ("fantasm.", "write fantasm_gcp instead of fantasm; docs/migrating.md has the list"),
    (
        "google.appengine.",
        "App Engine's old SDK is gone; docs/migrating.md tells what takes its place",
    ),
)


def unplaced(dotted: str) -> Place:
    """The place of a name that stands in no file."""
    return Place("<action>", 1, 1, dotted)


def failure(place: Place, message: str, hint: str = "") -> DefinitionError:
    """One problem at a place, to be raised."""
    return DefinitionError((place.error(message, hint),))


@contextmanager
def guarded(place: Place, what: str) -> Iterator[None]:
    """Running users' code: what it raises becomes a problem that begins with ``what``.

    Only an interrupt from the keyboard is let through, which is nobody's mistake.
    """
    try:
        yield
    except (DefinitionError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise failure(place, f"{what}: {_described(error)}", _moved(error)) from error


def import_module(name: str, place: Place, *, hint: bool = True) -> ModuleType:
    """The module of a dotted name; importing runs its code.

    Without ``hint`` no module of a like name is looked for, which would read directories. Raises
    :class:`DefinitionError` with one problem at ``place``, whatever the module raises;
    :class:`NoModuleError` where there is none of that name.
    """
    try:
        with guarded(place, f"module {quoted(name)} cannot be imported"):
            try:
                return importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                    raise
                message = f"there is no module {quoted(error.name)}"
                advice = _moved(error) or (_module_hint(error.name) if hint else "")
                raise NoModuleError((place.error(message, advice),)) from error
    except NoImportError:
        raise
    except DefinitionError as error:
        raise NoImportError(error.problems) from error.__cause__


class NoImportError(DefinitionError):
    """A module cannot be imported, for whatever reason: nothing can be taken out of it."""


class NoModuleError(NoImportError):
    """There is no module of that name; one that is there and fails is another matter."""


def take(owner: object, name: str, place: Place, kind: str, wanted: Callable[[object], bool]) -> object:
    """An attribute of a module; ``kind`` and ``wanted`` say for what, and for which, a hint is looked for.

    Raises :class:`DefinitionError` with one problem at ``place``.
    """
    with guarded(place, f"{quoted(name)} cannot be had"):
        try:
            return getattr(owner, name)
        except AttributeError as error:
            names = [each for each, value in vars(owner).items() if wanted(value)]
            message = f"module {quoted(getattr(owner, '__name__', ''))} has no {kind} {quoted(name)}"
            raise failure(place, message, did_you_mean(name, names)) from error


def a_kind_of(value: object) -> str:
    """What an object is, in words."""
    if isinstance(value, ModuleType):
        return "a module"
    if isinstance(value, type):
        return "a class"
    return f"an object of type {type(value).__name__!r}"


def _module_hint(name: str) -> str:
    """A module of a like name beside the missing one: in its package, or on the path of all modules."""
    parent, _, last = name.rpartition(".")
    path = None
    if parent:
        path = list(getattr(sys.modules.get(parent), "__path__", ()))
        if not path:
            return f"{parent!r} is a module, not a package"
    near = closest(last, [each.name for each in pkgutil.iter_modules(path)])
    if near:
        return f"did you mean {f'{parent}.{near}' if parent else near!r}?"
    return "" if parent else "modules are looked for in the directories of sys.path"


def _moved(error: BaseException) -> str:
    """The hint for a module of Fantasm or of App Engine's old SDK that something asks for, or nothing."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        missing = f"{each.name}." if isinstance(each, ModuleNotFoundError) else ""
        for beginning, advice in _MOVED:
            if missing.startswith(beginning):
                return advice
        each = _cause(each)
    return ""


def _described(error: BaseException) -> str:
    """An exception of a user's code: its type and message, what caused it, and the line it comes from."""
    innermost = error
    seen = {id(error)}
    while (cause := _cause(innermost)) is not None and id(cause) not in seen:
        seen.add(id(cause))
        innermost = cause
    chain = _named(error) if innermost is error else f"{_named(error)}, caused by {_named(innermost)}"
    return f"{chain}{_origin(innermost)}"


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _named(error: BaseException) -> str:
    """The last line of a traceback; a message that cannot be had is left out, as tracebacks do it."""
    return " ".join("".join(traceback.format_exception_only(error)[-1:]).split())


def _origin(error: BaseException) -> str:
    """Where an exception comes from: a syntax error's own place, or the innermost line of users' code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" (at {error.filename}:{error.lineno}: {(error.text or '').strip()})"
    theirs = [
        each
        for each in traceback.extract_tb(error.__traceback__)
        if not each.filename.startswith("<frozen ")
        and each.filename != importlib.__file__
        and Path(each.filename).parent != _HERE
    ]
    return f" (at {theirs[-1].filename}:{theirs[-1].lineno}: {theirs[-1].line})" if theirs else ""
