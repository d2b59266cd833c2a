"""The sweeper's path, which cron calls every minute."""

from __future__ import annotations

from typing import Any

from fantasm_gcp.engine.sweeping import Sweep, sweep
from fantasm_gcp.web.current import current_fantasm

MOST = 5_000
"""Steps that one call looks at; there is not time for more of them."""


def sweep_overdue() -> dict[str, Any]:
    """Looks at what is overdue, for 25 seconds at most, and answers what was found and done."""
    return _shown(sweep(current_fantasm().services, most=MOST))


def _shown(done: Sweep) -> dict[str, Any]:
    return {
        "overdue": done.overdue,
        "reasons": dict(done.reasons),
        "enqueued": done.enqueued,
        "instances": done.instances,
        "finished": done.finished,
        "examples": [{"step": step, "reason": reason} for step, reason in done.examples],
    }
