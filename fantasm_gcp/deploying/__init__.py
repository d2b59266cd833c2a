"""An installation on App Engine or Cloud Run: the commands that make it, and what shows whether it is well.

Nothing here runs anything: commands and questions are values, and so are findings.
"""

from __future__ import annotations

from fantasm_gcp.deploying.checking import check_installation
from fantasm_gcp.deploying.commands import Command, render_script
from fantasm_gcp.deploying.findings import Answer, Finding
from fantasm_gcp.deploying.installation import Installation, Job, Queue
from fantasm_gcp.deploying.plan import plan
from fantasm_gcp.deploying.questions import questions

__all__ = [
    "Answer",
    "Command",
    "Finding",
    "Installation",
    "Job",
    "Queue",
    "check_installation",
    "plan",
    "questions",
    "render_script",
]
