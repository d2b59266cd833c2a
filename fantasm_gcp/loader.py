"""The shell around the definitions: YAML text to ``core.parse``, dotted names to actions.

Only here is YAML known and only here is users' code imported.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, Protocol, cast

import yaml

from fantasm_gcp.action import Action
from fantasm_gcp.core.definition import Definitions, State
from fantasm_gcp.core.findings import Findings, closest, did_you_mean, quoted
from fantasm_gcp.core.node import Broken, Node, Place, Scalar, ScalarKind, Sequence
from fantasm_gcp.core.node import Mapping as MappingNode
from fantasm_gcp.core.parse import parse_definitions
from fantasm_gcp.errors import DefinitionError, Problem

MAX_NODES = 100_000
"""The most keys and values of a file, those of an alias counted wherever it stands."""

MAX_DEPTH = 50
"""The deepest nesting of a file; a definition has seven levels."""

YAML_PARSER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it, the one in Python elsewhere."""

_LINE_END = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_TAGS = "tag:yaml.org,2002:"
_KINDS: Mapping[str, ScalarKind] = {
    _TAGS + "str": "text",
    _TAGS + "merge": "text",
    _TAGS + "value": "text",
    _TAGS + "bool": "bool",
    _TAGS + "int": "int",
    _TAGS + "float": "float",
    _TAGS + "null": "null",
    _TAGS + "timestamp": "date",
}


def load_definitions(path: str | os.PathLike[str]) -> Definitions:
    """Reads and parses a definition file; loading it again gives an equal value.

    Raises :class:`DefinitionError` when the file cannot be read or has problems.
    """
    file = os.fsdecode(path)
    try:
        with open(file, "rb") as stream:
            content = stream.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DefinitionError((Place(file, 1, 1, "").error(f"the file cannot be read: {reason}"),)) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        place = _Lines(content.decode("utf-8-sig", "replace"), file).at_index(len(before))
        problem = place.error(f"the file is not UTF-8: {error.reason}", "save it in the encoding UTF-8")
        raise DefinitionError((problem,)) from error
    return parse_text(text, file)


def parse_text(text: str, file: str) -> Definitions:
    """Parses the text of a definition file; ``file`` is its name in messages.

    Raises :class:`DefinitionError` with every problem.
    """
    return parse_definitions(parse_tree(text, file))


def parse_tree(text: str, file: str, parser: type[Any] = YAML_PARSER) -> Node:
    """The one document in a YAML text, as a tree with places.

    Raises :class:`DefinitionError` with one problem where the text is no YAML, no single document, or too
    large; what is YAML but of no use becomes a :class:`Broken` node.
    """
    text = text.removeprefix("\ufeff")
    lines = _Lines(text, file)
    if forbidden := _FORBIDDEN.search(text):
        place = lines.at_index(forbidden.start())
        raise DefinitionError((place.error(f"the character U+{ord(forbidden[0]):04X} is not allowed"),))
    try:
        return _Builder(lines).build(yaml.parse(text, Loader=parser))
    except yaml.YAMLError as error:
        raise DefinitionError((_syntax_problem(error, lines),)) from error


def _syntax_problem(error: yaml.YAMLError, lines: _Lines) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError):
        return lines.at(None).error(f"YAML error: {error}")
    place = lines.at(error.problem_mark or error.context_mark)
    line = lines.text(place.line)
    indentation = line[: len(line) - len(line.lstrip())]
    tabs = "\t" in indentation and place.column <= len(indentation)
    hint = "YAML does not allow tabs for indentation; use spaces" if tabs else ""
    doing = f" {error.context}" if error.context else ""
    return place.error(f"YAML error{doing}: {error.problem}", hint)


class _Mark(Protocol):
    """What both parsers of PyYAML mark a point of the text with; they count from 0."""

    line: int
    column: int


class _Lines:
    """The lines of a text, counted as YAML counts them."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._whole = text
        self._lines = _LINE_END.split(text)
        self._shown: dict[int, str] = {}

    def text(self, line: int) -> str:
        """A line as it is; an empty one behind the end."""
        return self._lines[line - 1] if line <= len(self._lines) else ""

    def at(self, mark: _Mark | None) -> Place:
        """The place of a mark; without one, the beginning."""
        return self._place(mark.line + 1, mark.column + 1) if mark else self._place(1, 1)

    def at_index(self, index: int) -> Place:
        """The place of a character of the text."""
        before = _LINE_END.split(self._whole[:index])
        return self._place(len(before), len(before[-1]) + 1)

    def _place(self, line: int, column: int) -> Place:
        if line not in self._shown:
            self._shown[line] = "".join(each if each.isprintable() else " " for each in self.text(line))
        return Place(self._file, line, column, self._shown[line])


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been met; ``size`` counts what is in it so far, aliases expanded."""

    event: Any
    place: Place
    children: list[Node] = field(default_factory=list)
    size: int = 1


class _Builder:
    """Makes a tree of a stream of events, without recursion: nesting and expansion are bounded on the way."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._values: Any = yaml.SafeLoader("")
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._root: Node | None = None

    def build(self, events: Iterator[Any]) -> Node:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                self._refuse(event, "a second document begins here", "a definition file is one document")
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(self._open) >= MAX_DEPTH:
                    self._refuse(event, f"the nesting is deeper than {MAX_DEPTH}")
                self._open.append(_Open(event, self._lines.at(event.start_mark)))
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close(self._open.pop())
            elif isinstance(event, yaml.ScalarEvent):
                self._add(self._scalar(event), 1, event)
            elif isinstance(event, yaml.AliasEvent):
                self._add(*self._alias(event), event)
        if self._root is None or (isinstance(self._root, Scalar) and self._root.kind == "null"):
            return Broken(self._lines.at(None), "the file is empty", "it begins with 'state_machines:'")
        return self._root

    def _refuse(self, event: Any, message: str, hint: str = "") -> None:
        raise DefinitionError((self._lines.at(event.start_mark).error(message, hint),))

    def _add(self, node: Node, size: int, event: Any) -> None:
        """Puts a finished node where it belongs."""
        if event.anchor and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = (node, size)
        if not self._open:
            self._root = node
            return
        self._open[-1].children.append(node)
        self._open[-1].size += size
        if self._open[-1].size > MAX_NODES:
            self._refuse(event, f"the file has more than {MAX_NODES} keys and values, its aliases expanded")

    def _close(self, collection: _Open) -> None:
        event, place = collection.event, collection.place
        node: Node
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAGS + ("map" if is_mapping else "seq")):
            node = Broken(place, f"the tag {quoted(event.tag)} is not allowed")
        elif is_mapping:
            node = MappingNode(place, _merged(collection.children))
        else:
            node = Sequence(place, tuple(collection.children))
        self._add(node, collection.size, event)

    def _alias(self, event: Any) -> tuple[Node, int]:
        place = self._lines.at(event.start_mark)
        if any(each.event.anchor == event.anchor for each in self._open):
            return Broken(place, f"the alias *{event.anchor} is inside of what it stands for"), 1
        if event.anchor not in self._anchors:
            hint = did_you_mean(event.anchor, self._anchors)
            return Broken(place, f"there is no anchor &{event.anchor} above", hint), 1
        return self._anchors[event.anchor]

    def _scalar(self, event: Any) -> Node:
        place = self._lines.at(event.start_mark)
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._values.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = _KINDS.get(tag)
        if kind is None:
            return Broken(place, f"the tag {quoted(tag)} is not allowed")
        if kind == "text":
            return Scalar(place, kind, event.value, event.value)
        if kind in ("null", "date"):
            return Scalar(place, kind, event.value, None)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            value: bool | int | float = self._values.construct_object(node)
        except (ValueError, LookupError, ArithmeticError):
            # Python refuses decimal numbers of thousands of digits; an explicit tag may stand on any text.
            return Broken(place, f"{quoted(event.value)} cannot be read as {tag.removeprefix(_TAGS)}")
        return Scalar(place, kind, event.value, value)


def _merged(children: list[Node]) -> tuple[tuple[Node, Node], ...]:
    """The entries of a mapping, ``<<`` resolved: what is written wins, then what comes first."""
    written = list(zip(children[::2], children[1::2], strict=True))
    merges = [(key, value) for key, value in written if isinstance(key, Scalar) and key.text == "<<"]
    entries = [(key, value) for key, value in written if not (isinstance(key, Scalar) and key.text == "<<")]
    known = {key.text for key, _ in entries if isinstance(key, Scalar)}
    for key, value in merges:
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, MappingNode):
                broken = (
                    source if isinstance(source, Broken) else Broken(key.place, "<< merges mappings only")
                )
                entries.append((key, broken))
                continue
            added = [(k, v) for k, v in source.entries if not (isinstance(k, Scalar) and k.text in known)]
            entries.extend(added)
            known |= {k.text for k, _ in added if isinstance(k, Scalar)}
    return tuple(entries)


class Actions(Mapping[str, Action]):
    """Actions by their dotted names, one object for each; ``warnings`` are what was odd about them."""

    def __init__(self, actions: Mapping[str, Action], warnings: tuple[Problem, ...] = ()) -> None:
        self._actions = MappingProxyType(dict(actions))
        self.warnings = warnings

    def __getitem__(self, dotted: str) -> Action:
        return self._actions[dotted]

    def __iter__(self) -> Iterator[str]:
        return iter(self._actions)

    def __len__(self) -> int:
        return len(self._actions)


def load_actions(definitions: Definitions) -> Actions:
    """Resolves the action of every state; modules are imported, so their code runs.

    Raises :class:`DefinitionError` with every problem of every action, warnings included.
    """
    findings = Findings()
    actions: dict[str, Action] = {}
    unusable: set[str] = set()
    for machine in definitions:
        for state in machine.states:
            if state.action is None or state.action in unusable:
                continue
            places = definitions.places
            path = (machine.name, "states", state.name)
            place = places.get((*path, "action")) or _unplaced(state.action)
            try:
                # The object is kept, not asked for its truth: a user's class may define __len__.
                if state.action not in actions:
                    actions[state.action] = resolve_action(state.action, place)
            except DefinitionError as error:
                unusable.add(state.action)
                findings.add(error.problems)
                continue
            action = actions[state.action]
            _check_continuation(state, action, places.get((*path, "continuation"), place), place, findings)
    if findings.errors:
        raise DefinitionError(findings.in_order())
    return Actions(actions, findings.in_order())


def _check_continuation(state: State, action: Action, flag: Place, place: Place, findings: Findings) -> None:
    """A continuation state needs continuation(); on another state, it would never be called."""
    method = getattr(action, "continuation", None)
    called = quoted(type(action).__name__)
    if state.continuation and not callable(method):
        message = f"state {state.name!r} is a continuation, but {called} has no method continuation()"
        findings.error(
            flag, message, "add continuation(self, context, obj, token=None), or remove the attribute"
        )
    elif callable(method) and not state.continuation:
        message = f"{called} has a method continuation(), but state {state.name!r} is no continuation"
        findings.add([place.warning(message, "write 'continuation: true' to have it called")])


def resolve_action(dotted: str, place: Place | None = None) -> Action:
    """Imports the module of a dotted name, takes the class and makes an object of it, without arguments.

    Every call makes a new object. Raises :class:`DefinitionError` with one problem at ``place`` (by
    default, at the name itself) when the module cannot be imported, there is no such class in it, its
    constructor fails, or the object has no ``execute`` to call.
    """
    place = place or _unplaced(dotted)
    module_name, _, class_name = dotted.rpartition(".")
    if not module_name:
        raise _failure(
            place, f"action {quoted(dotted)} names no module", f"write it like package.module.{dotted}"
        )
    module = _import(module_name, place)
    action_class = _attribute(module, class_name, place)
    if not isinstance(action_class, type):
        raise _failure(place, f"{quoted(dotted)} is not a class but {_a_kind_of(action_class)}")
    try:
        action = action_class()
        execute = getattr(action, "execute", None)
    except (Exception, SystemExit) as error:  # a user's constructor may raise anything
        raise _failure(place, f"{quoted(dotted)} cannot be made: {_described(error)}") from error
    if not callable(execute):
        if execute is not None:
            raise _failure(place, f"execute of {quoted(dotted)} is not a method", "it cannot be called")
        names = [name for name in dir(action_class) if not name.startswith("_")]
        hint = did_you_mean("execute", names) or "add execute(self, context, obj)"
        raise _failure(place, f"{quoted(dotted)} has no method execute()", hint)
    return cast("Action", action)


def _import(name: str, place: Place) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failure(place, f"module {quoted(name)} cannot be imported: {_described(error)}") from error
        raise _failure(place, f"there is no module {quoted(error.name)}", _module_hint(error.name)) from error
    except (Exception, SystemExit) as error:  # importing runs a user's code: it may raise anything
        raise _failure(place, f"module {quoted(name)} cannot be imported: {_described(error)}") from error


def _attribute(module: ModuleType, name: str, place: Place) -> object:
    try:
        return getattr(module, name)
    except AttributeError as error:
        classes = [each for each, value in vars(module).items() if isinstance(value, type)]
        message = f"module {quoted(module.__name__)} has no class {quoted(name)}"
        raise _failure(place, message, did_you_mean(name, classes)) from error
    except Exception as error:  # a module's own __getattr__ may raise anything
        raise _failure(place, f"{quoted(name)} cannot be had: {_described(error)}") from error


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
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen ")
    ]
    ours = [each for each in frames if each.filename not in (__file__, importlib.__file__)]
    return f" (at {ours[-1].filename}:{ours[-1].lineno}: {ours[-1].line})" if ours else ""


def _a_kind_of(value: object) -> str:
    return "a module" if isinstance(value, ModuleType) else f"an object of type {type(value).__name__!r}"


def _unplaced(dotted: str) -> Place:
    """The place of a name that stands in no file."""
    return Place("<action>", 1, 1, dotted)


def _failure(place: Place, message: str, hint: str = "") -> DefinitionError:
    return DefinitionError((place.error(message, hint),))
