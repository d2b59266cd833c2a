"""The machines that run while workers are killed. They lie with the scenarios, because they are one."""

from __future__ import annotations

import sys
from pathlib import Path

SCENARIOS = Path(__file__).resolve().parents[1] / "tests" / "scenarios"
if str(SCENARIOS) not in sys.path:  # it is, where pytest runs
    sys.path.append(str(SCENARIOS))
from killed import AHEAD_HEADER, MACHINES, wrong_counts  # noqa: E402  found by the line above

__all__ = ["AHEAD_HEADER", "MACHINES", "SCENARIOS", "wrong_counts"]
