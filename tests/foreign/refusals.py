"""Refusals by their status code, which each transport of Google's Python clients hides elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.rpc.code_pb2 import Code


def refused(status: str, words: str, call: Callable[[], Any]) -> None:
    """The call is refused with that status code, and with a message in which the words are found."""
    with pytest.raises(GoogleAPICallError) as caught:
        call()
    assert status == _status(caught.value)
    assert re.search(words, str(caught.value.message))


def _status(error: GoogleAPICallError) -> str:
    if error.grpc_status_code is not None:
        return str(error.grpc_status_code.name)
    if error.response is not None:  # JSON
        return str(error.response.json()["error"]["status"])
    return str(Code.Name(error.errors[0].code))  # a binary google.rpc.Status
