"""Which HTTP request means which method: templates of paths, in the words of ``google/api/http.proto``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote_to_bytes

from fantasm_gcp.local.http.transcoding import bad_request

_VARIABLE = re.compile(r"\{([a-z_.]+)(?:=([^}]*))?\}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_KEPT_SLASH = re.compile(r"%(2[Ff])")


@dataclass(frozen=True)
class Route:
    """One binding: an HTTP method and a template of a path, for a method of a service by its short name.

    ``body`` names the field that the body of the request fills, "*" for the whole request, "" for no body.
    """

    verb: str
    template: str
    method: str
    body: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What matches a path, with one group for each variable of the template."""
        parts: list[str] = []
        at = 0
        for variable in _VARIABLE.finditer(self.template):
            parts.append(re.escape(self.template[at : variable.start()]))
            segments = (variable[2] or "*").split("/")
            parts.append(f"({'/'.join('[^/]+' if each == '*' else re.escape(each) for each in segments)})")
            at = variable.end()
        parts.append(re.escape(self.template[at:]))
        return re.compile("".join(parts))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields that the variables fill, in order; with dots for a field of a field."""
        return tuple(variable[1] for variable in _VARIABLE.finditer(self.template))

    def bind(self, path: str) -> dict[str, str] | None:
        """The values of the variables in a path that is still percent-encoded; None when it does not match.

        Raises ``RpcError`` INVALID_ARGUMENT for an encoding that is none.
        """
        match = self.pattern.fullmatch(path)
        if match is None:
            return None
        return {field: decode(value) for field, value in zip(self.fields, match.groups(), strict=True)}


@dataclass(frozen=True, slots=True)
class Match:
    """A route that a request means, with the values its path gives to fields."""

    route: Route
    values: dict[str, str]


def decode(value: str) -> str:
    """The value of a variable: percent-decoded, except that an encoded slash stays as it is.

    That is the rule for variables of several segments; no single segment here may hold a slash.
    """
    if _BAD_ESCAPE.search(value):
        raise bad_request("The path has a percent sign that encodes nothing.")
    try:
        return unquote_to_bytes(_KEPT_SLASH.sub(r"%25\1", value)).decode()
    except UnicodeDecodeError as error:
        raise bad_request("The path is not UTF-8.") from error


def find(routes: Iterable[Route], verb: str, path: str) -> Match | bool | None:
    """The first route for a request, False when the path is known under other methods only, else None."""
    known = False
    for route in routes:
        values = route.bind(path)
        if values is not None:
            if route.verb == verb:
                return Match(route, values)
            known = True
    return False if known else None
