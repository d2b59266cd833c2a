"""app.yaml, the file that App Engine deploys a service from: what of it the settings and the checks need.

What ``gcloud app deploy`` makes of it was tried with gcloud's own parser (2026-11): a value of
``env_variables`` that YAML takes for a bool or a number reaches the application as Python writes that value.
What is read here is read strictly; attributes that nobody here needs are gcloud's to check.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from fantasm_gcp.core.findings import Findings, closest, one_of, quoted
from fantasm_gcp.core.node import Broken, Node, Scalar
from fantasm_gcp.core.node import Mapping as MappingNode
from fantasm_gcp.errors import DefinitionError, Problem
from fantasm_gcp.loader.fields import Fields, UnreadableError, is_null
from fantasm_gcp.loader.files import read_text
from fantasm_gcp.loader.tree import parse_tree

Login: TypeAlias = Literal["optional", "required", "admin"]

_READ: Final = (
    *("runtime", "service", "module", "env_variables", "handlers", "app_engine_apis"),
    *("entrypoint", "service_account", "includes", "inbound_services"),
)
_ALIKE: Final = ("build_env_variables", "error_handlers", "runtime_config")
"""Attributes of App Engine's that are like one that is read, and are not meant for it."""

_LIKENESS: Final = 0.75
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RUNTIME = re.compile(r"[a-z][a-z0-9\-.]{0,29}")
_SERVICE = re.compile(r"(?!-)[a-z0-9-]{0,62}[a-z0-9]")
_LOGINS: Final = ("optional", "required", "admin")
_WANTED: Final[Mapping[str, str]] = {
    "runtime": "write it like python312",
    "service": "up to 63 small letters, digits and dashes",
    "module": "up to 63 small letters, digits and dashes",
    "login": "it is optional, required or admin",
    "url": "write a regular expression for the whole path, as /fantasm/.*",
}


@dataclass(frozen=True, slots=True)
class Handler:
    """Who may come to paths: ``url`` matches all of a path, and of one in a directory the beginning."""

    url: re.Pattern[str]
    login: Login = "optional"
    is_directory: bool = False

    def takes(self, path: str) -> bool:
        found = self.url.match(path) if self.is_directory else self.url.fullmatch(path)
        return found is not None


@dataclass(frozen=True, slots=True)
class AppYaml:
    """What an app.yaml says. ``env_variables`` has the text that the application sees.

    ``has_app_engine_apis`` is what ``login: admin`` needs to have an effect on the Python 3 runtimes.
    ``warnings`` tell of what cannot be seen from this file alone.
    """

    service: str
    runtime: str
    env_variables: Mapping[str, str]
    handlers: tuple[Handler, ...] = ()
    has_app_engine_apis: bool = False
    entrypoint: str = ""
    service_account: str = ""
    inbound_services: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def has_login_admin(self) -> bool:
        """Whether there are paths that App Engine lets none but the project's administrators into."""
        return any(each.login == "admin" for each in self.handlers)

    def login_for(self, path: str) -> Login:
        """Who comes to a path: the first handler that takes it says so, and without one everybody does."""
        return next((each.login for each in self.handlers if each.takes(path)), "optional")


def read_app_yaml(path: str | os.PathLike[str]) -> AppYaml:
    """Reads and parses an app.yaml; raises :class:`DefinitionError` with every problem."""
    return parse_app_yaml(read_text(path), os.fsdecode(path))


def parse_app_yaml(text: str, file: str) -> AppYaml:
    """Parses the text of an app.yaml; ``file`` is its name, for messages.

    Raises :class:`DefinitionError` with every problem, warnings included.
    """
    findings = Findings()
    fields = Fields(_needed(parse_tree(text, file, begins="runtime")), "the file", _READ, findings, _WANTED)
    fields.note("includes", "is not followed: what those files add is not seen here")
    service = fields.read("service", _service) or fields.read("module", _service) or "default"
    if {"service", "module"} <= fields.values.keys():
        findings.error(fields.values["module"].place, "module is the old name of service; take it out")
    read = AppYaml(
        service,
        fields.read("runtime", _runtime, required=True) or "",
        _read_variables(fields, findings),
        _read_handlers(fields, findings),
        _read_switch(fields, findings),
        fields.read("entrypoint", str) or "",
        fields.read("service_account", str) or "",
        tuple(each.text for each in fields.items("inbound_services") if isinstance(each, Scalar)),
        findings.in_order(),
    )
    if findings.errors:
        raise DefinitionError(findings.in_order())
    return read


def _needed(tree: Node) -> Node:
    """A file without the attributes that are no business of ours; one that is misspelt stays and is told."""
    if not isinstance(tree, MappingNode):
        return tree
    return MappingNode(tree.place, tuple(each for each in tree.entries if _is_needed(each[0])))


def _is_needed(key: Node) -> bool:
    if not isinstance(key, Scalar):
        return True
    return key.text in _READ or (
        key.text not in _ALIKE and bool(closest(key.text, _READ, likeness=_LIKENESS))
    )


def _read_variables(fields: Fields, findings: Findings) -> Mapping[str, str]:
    node = fields.values.get("env_variables")
    if node is None or is_null(node):
        return MappingProxyType({})
    if not isinstance(node, MappingNode):
        Fields(node, "env_variables", (), findings)
        return MappingProxyType({})
    variables: dict[str, str] = {}
    for key, value in node.entries:
        name = key.text if isinstance(key, Scalar) else ""
        if not _VARIABLE.fullmatch(name):
            findings.error(key.place, f"{quoted(name)} is no name of a variable", "letters, digits and _")
        elif name in variables:
            findings.error(key.place, f"{name} is written twice")
        else:
            variables[name] = _read_value(name, value, findings)
    return MappingProxyType(variables)


def _read_value(name: str, node: Node, findings: Findings) -> str:
    """The text of a variable, which has to be what is written: else it is told what App Engine would make."""
    if isinstance(node, Broken):
        findings.error(node.place, node.message, node.hint)
    elif not isinstance(node, Scalar):
        findings.error(node.place, f"{name} is a single value", "write a text, in quotes")
    elif node.kind not in ("text", "date") and str(node.value) != node.text:
        written = quoted(node.text)
        message = f"{name} is not quoted, so App Engine gives {str(node.value)!r} to the application"
        findings.error(node.place, message, f"write it in quotes: {written}")
    else:
        return node.text
    return ""


def _read_handlers(fields: Fields, findings: Findings) -> tuple[Handler, ...]:
    handlers = []
    for node in fields.items("handlers"):
        if not isinstance(node, MappingNode):
            Fields(node, "a handler", (), findings)
            continue
        known = tuple(key.text for key, _ in node.entries if isinstance(key, Scalar))
        handler = Fields(node, "a handler", known, findings, _WANTED)
        url = handler.read("url", _url, required=True)
        login: Login | None = handler.read("login", _login)
        if url is not None:
            handlers.append(Handler(url, login or "optional", "static_dir" in handler.values))
    return tuple(handlers)


def _read_switch(fields: Fields, findings: Findings) -> bool:
    """``app_engine_apis``; gcloud takes a quoted word and a number for it as well."""
    node = fields.values.get("app_engine_apis")
    if node is None or is_null(node):
        return False
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    findings.error(node.place, "app_engine_apis is true or false")
    return False


def _runtime(text: str) -> str:
    if _RUNTIME.fullmatch(text) is None:
        raise UnreadableError(f"{quoted(text)} is none", _WANTED["runtime"])
    return text


def _service(text: str) -> str:
    if _SERVICE.fullmatch(text) is None:
        raise UnreadableError(f"{quoted(text)} is not allowed", _WANTED["service"])
    return text


def _login(text: str) -> str:
    if text not in _LOGINS:
        raise UnreadableError(f"{quoted(text)} is not allowed", one_of(text, _LOGINS, "there are"))
    return text


def _url(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UnreadableError(f"{quoted(text)} is no regular expression: {error}", _WANTED["url"]) from error
