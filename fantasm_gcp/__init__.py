"""Workflows as finite state machines on Google Cloud Tasks and Datastore.

Importing this package loads neither Flask nor a Google client; they are loaded when first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fantasm_gcp.action import (
    ContinuationFSMAction,
    DatastoreContinuationFSMAction,
    FSMAction,
    ListContinuationFSMAction,
    NDBDatastoreContinuationFSMAction,
)
from fantasm_gcp.core.context import Context, Contexts, StepObject
from fantasm_gcp.errors import (
    AlreadyExistsError,
    AlreadyStartedError,
    ConflictError,
    ContentionError,
    ContextTooLargeError,
    DefinitionError,
    FantasmError,
    HaltMachineError,
    MissingDefinitionError,
    NoEventError,
    RefusedError,
    RetryLater,
    SettingsError,
    StartError,
    StepError,
    StoreError,
    UnavailableError,
    UnknownEventError,
    UnknownMachineError,
)
from fantasm_gcp.registry import context_type
from fantasm_gcp.settings import Settings

if TYPE_CHECKING:
    from fantasm_gcp.web.current import current_fantasm
    from fantasm_gcp.web.extension import Fantasm
    from fantasm_gcp.web.mounting import mount
    from fantasm_gcp.web.starting import start_machine, startStateMachine

__all__ = [
    "AlreadyExistsError",
    "AlreadyStartedError",
    "ConflictError",
    "ContentionError",
    "Context",
    "ContextTooLargeError",
    "Contexts",
    "ContinuationFSMAction",
    "DatastoreContinuationFSMAction",
    "DefinitionError",
    "FSMAction",
    "Fantasm",
    "FantasmError",
    "HaltMachineError",
    "ListContinuationFSMAction",
    "MissingDefinitionError",
    "NDBDatastoreContinuationFSMAction",
    "NoEventError",
    "RefusedError",
    "RetryLater",
    "Settings",
    "SettingsError",
    "StartError",
    "StepError",
    "StepObject",
    "StoreError",
    "UnavailableError",
    "UnknownEventError",
    "UnknownMachineError",
    "context_type",
    "current_fantasm",
    "mount",
    "startStateMachine",
    "start_machine",
]

_LAZY = {
    "Fantasm": "fantasm_gcp.web.extension",
    "current_fantasm": "fantasm_gcp.web.current",
    "mount": "fantasm_gcp.web.mounting",
    "startStateMachine": "fantasm_gcp.web.starting",
    "start_machine": "fantasm_gcp.web.starting",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
