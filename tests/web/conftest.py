"""A harness with the machines of tests/operated.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from operated import DEFINITIONS, Seen
from werkzeug.test import TestResponse

from fantasm_gcp.testing import Harness


@pytest.fixture
def operated() -> Iterator[Harness]:
    """The machines that operators' commands are tried on."""
    Seen.by_state.clear()
    with Harness(DEFINITIONS) as made:
        yield made


@pytest.fixture
def post(operated: Harness) -> Callable[..., TestResponse]:
    """Posts to a path below ``api/``: the keywords become a JSON object, or are options of the client."""

    def act(path: str, status: int = 200, **body: Any) -> Any:
        options = body if {"data", "json", "content_type", "headers"} & set(body) else {"json": body}
        answer = operated.client.post(f"/fantasm/api/{path}", **options)
        assert status == answer.status_code, answer.text
        return answer.json

    return act


@pytest.fixture
def start(operated: Harness) -> Callable[..., str]:
    """Starts a machine and answers the instance."""

    def act(path: str, **options: Any) -> str:
        answer = operated.start(path, **options)
        assert 200 == answer.status_code, answer.text
        return str(answer.json["instance"])

    return act
