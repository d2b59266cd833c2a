"""Fixtures of more than one folder."""

from datastore_backends import datastore_backend, gcloud_datastore

__all__ = ["datastore_backend", "gcloud_datastore"]
