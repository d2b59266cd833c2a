"""A harness for the machines of this folder, and what is asked of every run."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger import Ledger

from fantasm_gcp.testing import Harness

HERE = Path(__file__).parent


@pytest.fixture
def harness(request):
    """Machines of the definition file that the test module names as ``MACHINES``."""
    Ledger.clear()
    with Harness(HERE / request.module.MACHINES) as made:
        yield made
