"""Finding the application that `fantasm dev` serves."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from flask import Flask

from fantasm_gcp.cli.check import look_for_modules_in
from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.core.findings import did_you_mean
from fantasm_gcp.errors import DefinitionError, SettingsError
from fantasm_gcp.web.current import EXTENSION
from fantasm_gcp.web.extension import Fantasm
from fantasm_gcp.web.mounting import Mounted


@dataclass(frozen=True, slots=True)
class Application:
    """A Flask application, the extension in it, and what serves it: itself, or what it is mounted beside."""

    app: Flask
    fantasm: Fantasm
    served: Callable[..., Any]


def load_application(where: str) -> Application:
    """Imports an application written as ``module:name``, or ``module:factory()``, as gunicorn has it.

    The current directory is where modules are looked for first. Raises :class:`Refusal` with what is wrong:
    every problem of the definition file, or the innermost cause of a failed import.
    """
    module_name, _, name = where.partition(":")
    module = load_module(module_name)
    is_made = name.endswith("()")
    name = name.removesuffix("()") or "app"
    app = getattr(module, name, None)
    if app is None:
        hint = did_you_mean(name, [each for each in vars(module) if not each.startswith("_")])
        raise Refusal(f"module {module_name!r} has no {name!r}; {hint or 'name it with --app'}")
    served = app = _made(where, app) if is_made else app
    if isinstance(app, Mounted):
        app = app.flask_app
    fantasm = getattr(app, "extensions", {}).get(EXTENSION)
    if not isinstance(app, Flask) or not isinstance(fantasm, Fantasm):
        hint = "write Fantasm(app, Settings.from_environ(os.environ))"
        if isinstance(app, FunctionType):
            hint = f"a factory of one is written '{where}()'"
        raise Refusal(f"{where} is no Flask application with the extension: {hint}")
    if not fantasm.settings.is_local:
        raise Refusal(
            f"{where} takes no settings from the environment, so it does not know that it runs locally: "
            "write Fantasm(app, Settings.from_environ(os.environ))"
        )
    return Application(app, fantasm, served)


def _made(where: str, factory: Any) -> Any:
    try:
        return factory()
    except (Exception, SystemExit) as error:  # a user's code: it may raise anything
        raise _refused(where, error, "had") from error


def load_module(name: str) -> ModuleType:
    """Imports a module of the user's. Raises :class:`Refusal` as :func:`load_application` does."""
    look_for_modules_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # importing runs a user's code: it may raise anything
        raise _refused(name, error) from error


def _refused(name: str, error: BaseException, verb: str = "imported") -> Refusal:
    chain = tuple(_causes(error))
    for each in chain:
        if isinstance(each, DefinitionError):
            return Refusal(f"the definitions cannot be used:\n{each}")
        if isinstance(each, SettingsError):
            return Refusal(str(each))
    innermost = chain[-1]
    if isinstance(innermost, ModuleNotFoundError) and innermost.name == name.partition(".")[0]:
        return Refusal(
            f"there is no module {innermost.name!r} in {Path.cwd()}: go to its directory, or name another"
        )
    said = " ".join("".join(traceback.format_exception_only(innermost)[-1:]).split())
    return Refusal(f"{name} cannot be {verb}: {said}{_origin(innermost)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, what caused it, and so on."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _origin(error: BaseException) -> str:
    """The line that an exception comes from, on a line of its own."""
    if isinstance(error, SyntaxError):
        return f"\n  at {error.filename}:{error.lineno}: {(error.text or '').strip()}"
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen ")
    ]
    ours = [each for each in frames if each.filename not in (__file__, importlib.__file__)]
    return f"\n  at {ours[-1].filename}:{ours[-1].lineno}: {ours[-1].line}" if ours else ""
