"""Fixtures of more than one folder."""

import gc

import pytest
from datastore_backends import datastore_backend, gcloud_datastore, gcloud_firestore

__all__ = ["datastore_backend", "gcloud_datastore", "gcloud_firestore"]

LONGEST = (
    *("test_simulation", "test_guards", "test_scrubber", "test_killed_workers", "test_crash_anywhere"),
    *("test_cli_dev", "test_sweeper_anywhere", "test_holding", "test_joining", "test_loader_fuzz"),
    *("test_datastore_contract", "test_history", "test_killed_servers", "test_tutorial", "test_access"),
    *("test_random_countdown", "test_leaving", "test_cli_emulator", "test_differential"),
)
"""The files that take longest, which begin first: at the end no process then waits for one of them."""

gc.disable()  # until all tests are collected: nearly all that collecting makes stays for good


def pytest_collection_modifyitems(items):
    """The order that pytest-randomly made, but for the files that are to begin first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish():
    """From here on the collector passes over modules and tests, and looks for garbage less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports go from one process to another, which takes no lone surrogates; some tests log them."""
    report = yield
    report.sections = [
        (title, content.encode("utf-8", "backslashreplace").decode()) for title, content in report.sections
    ]
    return report
