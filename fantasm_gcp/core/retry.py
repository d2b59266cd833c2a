"""When a failing step is given up. How long Cloud Tasks waits between attempts is on the task itself."""

from __future__ import annotations

from fantasm_gcp.core.definition import RetryPolicy


def gives_up(policy: RetryPolicy, attempts: int, age: float) -> bool:
    """Whether a step that has used up ``attempts`` and is ``age`` seconds old gets no further attempt.

    No limit: never. Two limits: when both are exceeded, as Cloud Tasks has it.
    """
    exceeded = []
    if policy.task_retry_limit is not None:
        exceeded.append(attempts > policy.task_retry_limit)
    if policy.task_age_limit is not None:
        exceeded.append(age > policy.task_age_limit)
    return bool(exceeded) and all(exceeded)
