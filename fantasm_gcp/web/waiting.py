"""Answering when an instance has ended, instead of at once."""

from __future__ import annotations

import math

from flask import request
from werkzeug.exceptions import BadRequest

from fantasm_gcp.core.records import Instance
from fantasm_gcp.web.current import current_fantasm

LONGEST = 25.0
"""Seconds that an answer may be waited for: servers and proxies give a request 30 or more."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two looks at the row."""


def await_end(instance: Instance) -> Instance:
    """The instance as it is at its end, or when the seconds of the argument ``wait`` are over.

    An end is that of what runs: one that has failed has ended, one that is being cancelled has not yet.
    """
    fantasm = current_fantasm()
    services, found = fantasm.services, instance
    until, pause = services.clock() + _seconds(), FIRST_PAUSE
    while found.ended is None:
        left = until - services.clock()
        if left <= 0:
            break
        services.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)
        found = fantasm.history.instance(instance.id) or found
    return found


def _seconds() -> float:
    text = request.args.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST:
        raise BadRequest(f"wait must be a number of seconds from 0 to {LONGEST:g}")
    return seconds
