"""The contract runs on one backend more than other tests do."""

from datastore_backends import with_firestore

__all__ = ["with_firestore"]
