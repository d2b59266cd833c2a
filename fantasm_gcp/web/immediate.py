"""Immediate mode: a start with ``__im__=1`` runs its whole machine within the request."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from fantasm_gcp.core.moments import iso
from fantasm_gcp.engine.immediate import run_at_once
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.starting import Wish
from fantasm_gcp.web.arguments import StartRequest


def run_immediately(services: Services, machine: str, asked: StartRequest) -> tuple[dict[str, Any], int]:
    """What became of the machine: the context and ``obj`` of its last step, every step that ran, and where
    one failed, its error; the status is 500 then.
    """
    ran = run_at_once(
        services, Wish(machine, asked.context, secrets.token_hex(8), asked.method, headers=asked.headers)
    )
    answer: dict[str, Any] = {
        "instance": ran.instance,
        "context": json.loads(ran.context),
        "obj": {name: _shown(services, value) for name, value in ran.obj.items()},
        "steps": [
            {
                "machine": each.step.machine,
                "state": each.step.target,
                "branch": each.step.branch,
                "returned": each.event,
                "status": each.outcome,
                "note": each.note,
            }
            for each in ran.steps
        ],
        "messages": [
            {"time": iso(each.time), "level": each.level, "message": each.message} for each in ran.lines
        ],
    }
    if ran.failure is None or ran.failed is None:
        return answer, 200
    failed = {"error": ran.failure.error, "state": ran.failed.target, "traceback": ran.failure.traceback}
    return failed | answer, 500


def _shown(services: Services, value: Any) -> Any:
    """A value as a context would carry it; what no context takes, as Python writes it."""
    try:
        encoded: Mapping[str, Any] = json.loads(services.codec.encode({"value": value}))
    except (TypeError, ValueError):
        return repr(value)
    return encoded["value"]
