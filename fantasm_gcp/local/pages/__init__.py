"""The pages and the JSON API of the local Cloud Tasks server; ``api`` has the table of its paths."""

from fantasm_gcp.local.pages.blueprint import create_tasks_pages

__all__ = ["create_tasks_pages"]
