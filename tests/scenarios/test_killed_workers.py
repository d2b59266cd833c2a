"""Gunicorn's workers killed by SIGKILL in mid-step, on real servers: nothing lost, nothing doubled, nothing left."""

from __future__ import annotations

import random
import uuid

import pytest
from datastore_backends import PROJECT

from benchmarks.deployment import Datastore
from benchmarks.kill_workers import kill_workers

SECONDS = 120
"""Far more than a run takes."""


@pytest.fixture
def seed():
    """Another one in each run: pytest-randomly prints what it comes from."""
    return random.randrange(10**6)


def test_whoever_is_killed_everything_is_done_once(tmp_path, seed):
    """20 workers and both local servers; the sweeper is needed only where tasks are lost."""
    figures = kill_workers(tmp_path, 20, seed, SECONDS)
    assert [] == figures.faults, f"seed {seed}"
    assert (20, {"Datastore": 2, "Cloud Tasks": 2}) == (figures.kills.total(), figures.servers)


def test_on_googles_emulator_too_everything_is_done_once(tmp_path, seed, gcloud_datastore):
    """Eight workers and the Cloud Tasks server, with a Datastore that nobody here wrote."""
    space = f"n{uuid.uuid4().hex[:12]}"
    figures = kill_workers(tmp_path, 8, seed, SECONDS, Datastore(gcloud_datastore, PROJECT, space))
    assert [] == figures.faults, f"seed {seed}"
    assert (8, {"Cloud Tasks": 1}) == (figures.kills.total(), figures.servers)
