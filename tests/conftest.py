"""Fixtures of more than one folder."""

import pytest
from datastore_backends import datastore_backend, gcloud_datastore, gcloud_firestore

__all__ = ["datastore_backend", "gcloud_datastore", "gcloud_firestore"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports go from one process to another, which takes no lone surrogates; some tests log them."""
    report = yield
    report.sections = [
        (title, content.encode("utf-8", "backslashreplace").decode()) for title, content in report.sections
    ]
    return report
