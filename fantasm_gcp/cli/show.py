"""`fantasm show`: one instance and its steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.table import moment, one_line, render_table
from fantasm_gcp.core.definition import PSEUDO_OPERATOR

_TOLD = (("note", "note"), ("spawned by", "parent"))


@click.command("show")
@click.argument("instance")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many steps."
)
@format_option
@url_option
def command(instance: str, limit: int, form: str, url: str) -> None:
    """Show INSTANCE: its status, its counts for each state, and its steps."""
    answer = Api(url).get("instances", instance, limit=limit)
    click.echo(json.dumps(answer, indent=2) if form == "json" else "\n\n".join(_paragraphs(answer)))


def _paragraphs(answer: Mapping[str, Any]) -> Iterator[str]:
    ended = f", ended {moment(answer['ended'])} UTC" if answer["ended"] else ""
    yield f"{answer['instance']}: {answer['status']}, started {moment(answer['started'])} UTC{ended}"
    if told := list(_facts(answer)):
        yield "\n".join(told)
    counts = [(state, n["in_flight"], n["failed"], n["done"]) for state, n in answer["states"].items()]
    yield render_table(("STATE", "IN FLIGHT", "FAILED", "DONE"), counts)
    if failed := answer["failed"]["items"]:
        failures = [(_transition(each), each["attempts"], each["error"], each["step"]) for each in failed]
        yield render_table(("FAILED STEP", "ATTEMPTS", "ERROR", "NAME"), failures)
    if waiting := answer["in_flight"]["items"]:
        due = [
            (_transition(each), _standing(each), moment(each["due"]), each["attempts"], each["step"])
            for each in waiting
        ]
        yield render_table(("STEP IN FLIGHT", "STATUS", "DUE (UTC)", "ATTEMPTS", "NAME"), due)
        if errors := [f"{_transition(each)}: {one_line(each['error'])}" for each in waiting if each["error"]]:
            yield "\n".join(errors)
    if done := sorted(answer["steps"]["items"], key=lambda each: str(each["began"])):
        rows = [
            (_transition(each), each["status"], moment(each["ended"]), each["attempts"], each["step"])
            for each in done
        ]
        yield render_table(("STEP DONE", "OUTCOME", "ENDED (UTC)", "ATTEMPTS", "NAME"), rows)
        if answer["steps"]["cursor"]:
            over = sum(each["done"] for each in answer["states"].values())
            of = f" of {over:,}" if over > len(done) else ""
            yield f"These are {len(done):,}{of} steps that are over, in no order: --limit shows more."
        if notes := [f"{_transition(each)}: {each['note']}" for each in done if each["note"]]:
            yield "\n".join(notes)


def _facts(answer: Mapping[str, Any]) -> Iterator[str]:
    for word, name in _TOLD:
        if answer[name]:
            yield f"{word}: {answer[name]}"
    for each in answer["told"]:
        yield f"told: {each['receiver']} (by {each['instance']})"
    if parked := answer["parked"]:
        yield f"parked steps: {parked:,}, until it is resumed or what is held is released"
    if waiting := answer["waiting"]:
        yield f"waits for spawned instances: {waiting:,}"
    for state, number in answer["at_joins"].items():
        yield f"waits at {state}: {number:,} {'context' if number == 1 else 'contexts'}"
    for each in answer["held"]:
        note = f": {one_line(each['note'])}" if each["note"] else ""
        yield f"held: {each['state'] or 'all states'}, since {moment(each['since'])} UTC{note}"


def _standing(step: Mapping[str, Any]) -> str:
    """What a step in flight is doing."""
    if step["child"]:
        return f"waits for {step['child']}"
    return "retrying" if step["status"] == "queued" and step["error"] else str(step["status"])


def _transition(step: Mapping[str, Any]) -> str:
    if step["from"] == PSEUDO_OPERATOR:
        return f"operator's command: {step['event']}"
    return f"{step['from']} --{step['event']}--> {step['state']}"
