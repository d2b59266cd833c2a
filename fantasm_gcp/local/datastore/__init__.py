"""A local Datastore: the ``google.datastore.v1.Datastore`` API over SQLite."""

from fantasm_gcp.local.datastore.server import DatastoreServer

__all__ = ["DatastoreServer"]
