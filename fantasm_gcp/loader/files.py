"""From files to definitions: reading them, following their imports, adding the built-in machine."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.core.files import Source
from fantasm_gcp.core.findings import closest
from fantasm_gcp.core.node import Place
from fantasm_gcp.core.parse import parse_definitions
from fantasm_gcp.core.values import UnusableError
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader.constants import Constants
from fantasm_gcp.loader.lines import Lines
from fantasm_gcp.loader.tree import parse_tree

BUILT_IN_FILE = Path(__file__).parents[1] / "builtin" / "fsm.yaml"
"""The definition of the machines that come with the library."""


_LIKENESS = 0.75
"""How like another a file's name must be for a hint: many files lie beside one another."""


def load_definitions(
    path: str | os.PathLike[str],
    *,
    resolve_names: bool = True,
    built_in: str | os.PathLike[str] | None = BUILT_IN_FILE,
) -> Definitions:
    """Reads and parses a definition file and what it imports; loading it again gives an equal value.

    Events and arguments may be names of constants: the modules of namespaces are imported, so their code
    runs. Without ``resolve_names`` nothing is imported, and such a name stands for itself. The machines of
    the file ``built_in`` come last.

    Raises :class:`DefinitionError` when a file cannot be read or has problems.
    """
    file = os.fsdecode(path)
    content = _content(file)
    definitions = _parsed(_source(file, content), resolve_names=resolve_names)
    return definitions if built_in is None else _with_built_in(definitions, Path(built_in))


def parse_text(text: str, file: str, *, resolve_names: bool = True) -> Definitions:
    """Parses the text of a definition file; ``file`` is its name, in messages and for what it imports.

    The built-in machine is not added. Raises :class:`DefinitionError` with every problem.
    """
    return _parsed(_source(file, text), resolve_names=resolve_names)


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8; raises :class:`DefinitionError` with one problem when there is none."""
    file = os.fsdecode(path)
    return _decoded(_content(file), file)


def _content(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except FileNotFoundError as error:
        directory, name = os.path.split(os.path.abspath(file))
        problem = Place(file, 1, 1, "").error(f"there is no file {name!r} in {directory}", _near(file))
        raise DefinitionError((problem,)) from error
    except (OSError, ValueError) as error:
        problem = Place(file, 1, 1, "").error(f"the file cannot be read: {_reason(error)}")
        raise DefinitionError((problem,)) from error


def _parsed(source: Source, *, resolve_names: bool) -> Definitions:
    return parse_definitions(source, _imported, Constants() if resolve_names else None)


def _with_built_in(definitions: Definitions, file: Path) -> Definitions:
    """The definitions of a file and, behind them, those of the library, whose warnings are not its user's."""
    built_in = _built_in(str(file), file.read_bytes())
    return Definitions(
        MappingProxyType({**definitions.machines, **built_in.machines}),
        definitions.warnings,
        definitions.root,
        MappingProxyType({**definitions.places, **built_in.places}),
    )


@lru_cache(maxsize=4)
def _built_in(file: str, content: bytes) -> Definitions:
    """What is in the file of the library, which every application of a process has."""
    return parse_definitions(_source(file, content), reserved=())


def _imported(name: str, importing: Source) -> Source:
    """The file of a name, relative to the one that imports it; raises :class:`UnusableError`."""
    path = os.path.join(os.path.dirname(importing.name), name)
    try:
        # Without the '..' in it, a path may lead elsewhere: through a link to a directory.
        shorter = os.path.normpath(path)
        path = shorter if os.path.realpath(shorter) == os.path.realpath(path) else path
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnusableError(f"{path!r} is no file")
        return _source(path, Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path!r} cannot be read: {_reason(error)}", _near(path)) from error


def _near(path: str) -> str:
    """The hint for a file that is not there: one of a like name beside it."""
    directory, name = os.path.split(path)
    try:
        beside = [os.path.splitext(each) for each in os.listdir(directory or ".")]
    except (OSError, ValueError):
        return ""
    known = {stem: stem + kind for stem, kind in beside if kind in (".yaml", ".yml")}
    near = closest(os.path.splitext(name)[0], known, likeness=_LIKENESS)
    return f"did you mean {known[near]!r}?" if near else ""


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _source(path: str, content: str | bytes) -> Source:
    """A file as ``core.files`` takes it, its problems in place of a tree if there is none."""
    try:
        text = content if isinstance(content, str) else _decoded(content, path)
        return Source(_identity(path), path, parse_tree(text, path))
    except DefinitionError as error:
        return Source(_identity(path), path, error.problems)


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        place = Lines(content.decode("utf-8-sig", "replace"), file).at_index(len(before))
        problem = place.error(f"the file is not UTF-8: {error.reason}", "save it in the encoding UTF-8")
        raise DefinitionError((problem,)) from error


def _identity(path: str) -> str:
    """Equal for all names of a file, links included; for a text that is in no file, its name."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return path
    return f"{found.st_dev}:{found.st_ino}"
