"""The types of a machine's arguments: from the names in ``context_types`` to what casts a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from fantasm_gcp.core.casts import ALIASES, BUILT_IN, REFUSED
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.core.findings import Findings, quoted
from fantasm_gcp.core.node import Place
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader.modules import a_kind_of, failure, guarded, import_module, take, unplaced

_PICKLES = frozenset(("pickle", "_pickle", "dill", "dill._dill", "cloudpickle"))


def load_casts(definitions: Definitions) -> Mapping[str, Mapping[str, Callable[[str], Any]]]:
    """For each machine, what casts the text of its arguments, by their names.

    Modules are imported, so their code runs. Raises :class:`DefinitionError` with every problem.
    """
    findings = Findings()
    casts: dict[str, Mapping[str, Callable[[str], Any]]] = {}
    for machine in definitions:
        own: dict[str, Callable[[str], Any]] = {}
        for argument, name in machine.context_types:
            place = definitions.places.get((machine.name, "context_types", argument))
            try:
                own[argument] = resolve_cast(name, place or unplaced(name))
            except DefinitionError as error:
                findings.add(error.problems)
        casts[machine.name] = MappingProxyType(own)
    if findings.errors:
        files = list(dict.fromkeys(place.file for place in definitions.places.values()))
        raise DefinitionError(findings.in_order(files))
    return MappingProxyType(casts)


def resolve_cast(name: str, place: Place) -> Callable[[str], Any]:
    """What casts a text to the type of a name, built in or dotted.

    Raises :class:`DefinitionError` with one problem at ``place`` when there is none, when it cannot be
    called, or when it would unpickle.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    dotted = ALIASES.get(name, name)
    module_name, _, last = dotted.rpartition(".")
    if not module_name:
        raise failure(place, f"type {quoted(name)} is not built in and names no module")
    module = import_module(module_name, place)
    named = take(module, last, place, "callable", callable)
    with guarded(place, f"type {quoted(name)} cannot be had"):
        if not callable(named):
            raise failure(place, f"type {quoted(name)} is not callable: it is {a_kind_of(named)}")
        if getattr(named, "__module__", None) in _PICKLES:
            raise failure(place, f"type {quoted(name)} is refused", REFUSED["pickle"])
    return named
