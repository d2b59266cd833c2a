"""google-cloud-ndb runs a script against the Datastore server."""

from __future__ import annotations

import ndb_parts
import pytest
from foreign_servers import PROJECT, Servers
from google.cloud import ndb


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # ndb calls it
def test_ndb_is_answered_as_by_datastore(servers: Servers, subtests: pytest.Subtests) -> None:
    """Models, queries, transactions and hooks; every part in a context of its own, with no cache."""
    client = ndb.Client(project=PROJECT)
    for part in ndb_parts.PARTS:
        with subtests.test(part.__name__), client.context(cache_policy=False, global_cache=None):
            part()
    assert 100 <= servers.calls.total()
