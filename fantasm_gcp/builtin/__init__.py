"""The machines that every application has beside its own: ``fsm.yaml`` of this package defines them."""

from __future__ import annotations

from types import MappingProxyType

MACHINES = MappingProxyType(
    {
        "FantasmScrubber": "deletes what is kept of instances that ended more than age days ago",
        "FantasmWebhook": "tells a URL what became of an instance, by a signed post",
        "FantasmOperation": "an operator's command on many steps: releases what a hold has parked, "
        "runs failed steps again",
    }
)
"""The machines by name, each with what it does."""
