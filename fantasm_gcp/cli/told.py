"""What commands tell of what they did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from fantasm_gcp.cli.api import Api


def tell_instance(answer: Mapping[str, Any], form: str) -> None:
    """The status that an instance has now; one that is being cancelled has not ended yet."""
    going_on = answer["status"] == "cancelled" and not answer["ended"]
    rest = ", what it has in flight is being deleted" if going_on else ""
    tell(answer, form, f"{answer['instance']}: {answer['status']}{rest}")


def tell_operation(api: Api, answer: Mapping[str, Any], form: str) -> None:
    """The instance that carries a command out, and its page."""
    tell(answer, form, f"{answer['instance']}\n{api.url}{answer['console_url']}")


def tell(answer: Mapping[str, Any], form: str, words: str) -> None:
    """An answer as JSON, or as words."""
    click.echo(json.dumps(answer, indent=2) if form == "json" else words)
