"""What the HTTP API answers of failed steps, whichever instance they belong to."""

from __future__ import annotations

from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

from fantasm_gcp.core.names import TASK_NAME_LIMIT
from fantasm_gcp.engine.history import FailureGroup
from fantasm_gcp.web.api import listed, page_arguments, task_of
from fantasm_gcp.web.current import current_fantasm


def failures() -> dict[str, Any]:
    """Failed steps in groups of one machine, state and error; ``machine`` and ``state`` are arguments."""
    found = current_fantasm().history.failure_groups(_filter("machine"), _filter("state"))
    return {"groups": [_group(each) for each in found.groups], "complete": found.complete}


def _group(group: FailureGroup) -> dict[str, Any]:
    failure, step = group.example.failure, group.example.step
    return {
        "machine": group.machine,
        "state": group.state,
        "fingerprint": group.fingerprint,
        "count": group.count,
        "more": group.more,
        "example": {
            "error": failure.error if failure else None,
            "step": step.name,
            "instance": step.instance,
        },
    }


def failed_steps() -> dict[str, Any]:
    """Failed steps; ``machine``, ``state``, ``fingerprint``, ``limit`` and ``cursor`` are arguments."""
    limit, cursor = page_arguments()
    names = _filter("machine"), _filter("state"), _filter("fingerprint")
    page = listed(lambda: current_fantasm().history.failures(*names, limit, cursor))
    return {
        "steps": [
            {"machine": each.step.machine, "instance": each.step.instance} | task_of(each)
            for each in page.items
        ],
        "cursor": page.cursor,
    }


def _filter(name: str) -> str:
    """A name to filter by, which need not be one of this deployment: a machine that is gone has failures."""
    text = request.args.get(name, "")
    if len(text) > TASK_NAME_LIMIT or not text.isascii():
        raise BadRequest(f"{name} is no name: names are ASCII, and not that long")
    return text
