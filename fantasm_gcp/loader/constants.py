"""Names of constants: from ``EVENT``, ``Class.EVENT`` or ``package.module.EVENT`` to the text they hold."""

from __future__ import annotations

from types import ModuleType

from fantasm_gcp.core.constants import Found
from fantasm_gcp.core.findings import did_you_mean, quoted
from fantasm_gcp.core.values import is_dotted
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader.modules import NoModuleError, a_kind_of, guarded, import_module, unplaced


class Constants:
    """Looks names up for ``core.constants``; each module is imported, or found missing, once."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType | DefinitionError] = {}

    def __call__(self, name: str, namespace: str | None) -> Found:
        """What a name leads to: in the namespace first, then, if it is dotted, from its own module."""
        if not is_dotted(name):
            return Found()
        parts = name.split(".")
        inside = self._inside(namespace, parts) if namespace is not None else Found()
        if len(parts) == 1 or inside.text is not None or inside.kind:
            return inside
        outside = self._outside(parts)
        if outside.text is not None or outside.kind:
            return outside
        return Found(why=inside.why or outside.why)

    def _inside(self, namespace: str, parts: list[str]) -> Found:
        module = self._module(namespace)
        if isinstance(module, DefinitionError):
            return Found(why=f"namespace {quoted(namespace)} cannot be looked into: {_told(module)}")
        return _follow(module, parts, namespace)

    def _outside(self, parts: list[str]) -> Found:
        """From the innermost module that the name begins with."""
        last: ModuleType | None = None
        depth = 0
        while depth < len(parts):
            module = self._module(".".join(parts[: depth + 1]))
            if isinstance(module, NoModuleError):
                if last is None:
                    return Found(why=_told(module))
                break
            if isinstance(module, DefinitionError):
                return Found(why=_told(module))
            last = module
            depth += 1
        assert last is not None
        return _follow(last, parts[depth:], ".".join(parts[:depth]))

    def _module(self, name: str) -> ModuleType | DefinitionError:
        if name not in self._modules:
            try:
                self._modules[name] = import_module(name, unplaced(name), hint=False)
            except DefinitionError as error:
                self._modules[name] = error
        return self._modules[name]


def _follow(module: ModuleType, parts: list[str], name: str) -> Found:
    """The attribute of an attribute of a module; nothing where the first of them is not there."""
    value: object = module
    try:
        for number, part in enumerate(parts):
            with guarded(unplaced(part), f"{quoted(part)} cannot be had"):
                try:
                    value = getattr(value, part)
                except AttributeError:
                    owner = ".".join((name, *parts[:number]))
                    missing = f"{quoted(owner)} has no {quoted(part)}"
                    if len(parts) == 1 or not hasattr(value, "__dict__"):
                        return Found(why=missing)
                    hint = did_you_mean(part, vars(value))
                    return Found(why=f"{missing}; {hint}" if hint else missing)
        with guarded(unplaced(name), "its type cannot be had"):
            # A member of an enumeration of texts is one, and what it holds is asked of text itself.
            return Found(str.__str__(value)) if isinstance(value, str) else Found(kind=a_kind_of(value))
    except DefinitionError as error:
        return Found(why=_told(error))


def _told(error: DefinitionError) -> str:
    (problem,) = error.problems
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message
