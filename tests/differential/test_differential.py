"""The local Datastore beside Google's emulators: the same generated operations, the same answers."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from differential.__main__ import report
from differential.comparison import compare, local, remote
from differential.gaps import avoided, gaps_of
from differential.generator import sequence

BLOCKS = 5
SEEDS = {"datastore": 12, "firestore": 12}
"""How many sequences a block has; a sequence has about 16 operations."""


@pytest.fixture(params=sorted(SEEDS))
def emulator(request: pytest.FixtureRequest) -> Iterator[tuple[str, grpc.Channel]]:
    """Each emulator in turn, with a channel to it."""
    host = request.getfixturevalue(f"gcloud_{request.param}")
    with grpc.insecure_channel(host) as channel:
        yield request.param, channel


@pytest.mark.parametrize("block", range(BLOCKS))
def test_generated_operations_are_answered_as_by_the_emulator(
    emulator: tuple[str, grpc.Channel], block: int
) -> None:
    """But for the gaps of the emulators that ``gaps.py`` names; a difference prints how to see it again."""
    name, channel = emulator
    for seed in range(block * SEEDS[name], (block + 1) * SEEDS[name]):
        operations = sequence(seed, avoided(name))
        difference = compare(operations, local, remote(channel), gaps_of(name))
        if difference is not None:
            pytest.fail(report(name, channel, operations, difference, seed))
