"""The pages of the local servers, and the JSON API of Cloud Tasks; ``api`` has the table of its paths."""

from fantasm_gcp.local.pages.blueprint import create_datastore_pages, create_tasks_pages

__all__ = ["create_datastore_pages", "create_tasks_pages"]
