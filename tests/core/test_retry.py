"""When a step is given up."""

from __future__ import annotations

import pytest

from fantasm_gcp.core.definition import RetryPolicy
from fantasm_gcp.core.retry import gives_up


@pytest.mark.parametrize(
    ("limit", "age_limit", "attempts", "age", "expected"),
    [
        (None, None, 10**6, 10**9, False),
        (0, None, 0, 10**9, False),
        (0, None, 1, 0, True),
        (3, None, 3, 10**9, False),
        (3, None, 4, 0, True),
        (None, 60, 10**6, 60, False),
        (None, 60, 1, 60.1, True),
        (3, 60, 4, 60, False),
        (3, 60, 3, 61, False),
        (3, 60, 4, 61, True),
    ],
)
def test_a_step_is_given_up_when_every_limit_is_exceeded(limit, age_limit, attempts, age, expected):
    """No limit: never. Two limits: both."""
    policy = RetryPolicy(task_retry_limit=limit, task_age_limit=age_limit)
    assert expected is gives_up(policy, attempts, age)
