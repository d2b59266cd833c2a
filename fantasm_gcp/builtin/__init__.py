"""The machines that every application has beside its own: ``fsm.yaml`` of this package defines them."""

from __future__ import annotations

from types import MappingProxyType

MACHINES = MappingProxyType(
    {"FantasmScrubber": "deletes what is kept of instances that ended more than age days ago"}
)
"""The machines by name, each with what it does."""
