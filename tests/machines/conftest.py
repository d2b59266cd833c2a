"""A harness for the machine of each test module."""

from __future__ import annotations

from pathlib import Path

import pytest

from fantasm_gcp.testing import Harness
from machines.stage import forget

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _nothing_has_run():
    forget()


@pytest.fixture
def harness(request):
    """Machines of the definition file that the test module names as ``MACHINES``."""
    with Harness(HERE / request.module.MACHINES) as made:
        yield made
