"""What an action is given: the context of its branch, or the list of contexts that a fan-in collected.

Control data is kept beside the dict, never among the user's keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from fantasm_gcp.core.names import InstanceId, StepName


@dataclass(frozen=True, slots=True)
class Put:
    """A staged write: the entity is written when the step commits."""

    entity: Any


@dataclass(frozen=True, slots=True)
class Remove:
    """A staged deletion: the entity of the key is deleted when the step commits."""

    key: Any


@dataclass(slots=True)
class Scope:
    """One attempt of one step, as its action may know it.

    ``client`` gives the Datastore client; inside the transaction of a transactional state it is another one.
    """

    instance: InstanceId
    machine: str
    state: str
    event: str
    step: StepName
    client: Callable[[], Any]
    staged: list[Put | Remove] = field(default_factory=list)


class _Scoped:
    """What a context and a list of contexts have in common."""

    __slots__ = ()
    _scope: Scope

    @property
    def instance_name(self) -> str:
        """The id of the instance that this step belongs to."""
        return self._scope.instance

    @property
    def machine_name(self) -> str:
        return self._scope.machine

    @property
    def state_name(self) -> str:
        return self._scope.state

    @property
    def idempotency_key(self) -> str:
        """Equal on every attempt of this step and on no other step: hand it to services that take one."""
        return self._scope.step

    @property
    def datastore(self) -> Any:
        """The ``google.cloud.datastore.Client`` of the application.

        In a state marked ``transactional: True`` all that ``execute`` reads and writes through it commits
        with the step or not at all; a transaction or batch inside of that is refused. Elsewhere, and in
        ``continuation``, it reads and writes at once, so a retry does it again.
        """
        return self._scope.client()

    def put(self, entity: Any) -> None:
        """Stages an entity, as it is now, to be written when this step commits, once or not at all."""
        self._scope.staged.append(Put(deepcopy(entity)))

    def delete(self, key: Any) -> None:
        """Stages the deletion of a key's entity, to be done when this step commits."""
        self._scope.staged.append(Remove(key))


class Context(_Scoped, dict[str, Any]):
    """The data of one branch: a dict. What it holds when the action returns goes on to the next step."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope, data: Iterable[tuple[str, Any]] | dict[str, Any] = ()) -> None:
        super().__init__(data)
        self._scope = scope


class Contexts(_Scoped, list[Context]):
    """The contexts that a fan-in collected, one for each branch that arrived.

    ``context`` is the one that goes on after the fan-in: at first a copy of the context that opened the
    window.
    """

    __slots__ = ("_scope", "context")

    def __init__(self, scope: Scope, context: Context, contexts: Iterable[Context]) -> None:
        super().__init__(contexts)
        self._scope = scope
        self.context = context


class StepObject(dict[str, Any]):
    """``obj``: what a continuation hands to the action of the same attempt; it is never stored.

    Items and attributes are the same: ``obj['result']`` is ``obj.result``.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]
