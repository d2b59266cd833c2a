"""Operators' commands over the HTTP API: each is a POST, with a form or a JSON object, and answers JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import request, url_for
from werkzeug.exceptions import BadRequest, NotFound

from fantasm_gcp.console.contexts import edited_context
from fantasm_gcp.core.codec import Codec
from fantasm_gcp.core.findings import did_you_mean
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import TaskStatus
from fantasm_gcp.engine import operating
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.web.api import can_be_a_key, find_instance, instance_summary
from fantasm_gcp.web.arguments import BODY_LIMIT
from fantasm_gcp.web.current import current_fantasm
from fantasm_gcp.web.machines import shown_hold

MOST_NOTE = 1000
"""Characters of the note of a hold or a cancellation."""

_FINGERPRINT = re.compile("[0-9a-f]{1,64}")


def cancel(name: str) -> dict[str, Any]:
    """Stops an instance for good; ``note`` says why."""
    note = _note(_given("note"))
    services, instance = current_fantasm().services, _instance(name)
    stopped = operating.cancel(services, instance, note) if note else operating.cancel(services, instance)
    return instance_summary(stopped)


def pause(name: str) -> dict[str, Any]:
    """Parks the steps of an instance, each when its task comes."""
    _given()
    return instance_summary(operating.pause(current_fantasm().services, _instance(name)))


def resume(name: str) -> dict[str, Any]:
    """Lets a paused instance go on."""
    _given()
    return instance_summary(operating.resume(current_fantasm().services, _instance(name)))


def redrive_instance(name: str) -> dict[str, Any]:
    """Runs all failed steps of an instance again."""
    _given()
    return instance_summary(operating.redrive_instance(current_fantasm().services, _instance(name)))


def redrive_step(name: str, step_name: str) -> dict[str, Any]:
    """Runs one failed step again, with another ``context``, or as if its actions had returned ``skip``."""
    given = _given("context", "skip")
    fantasm = current_fantasm()
    instance, step = _instance(name), StepName(step_name)
    task = fantasm.history.task(step) if can_be_a_key(step_name) else None
    if task is None or task.step.instance != instance:
        raise NotFound(f"instance {name!r} has no step {step_name!r} that has failed or is in flight")
    encoded = _context(fantasm.services.codec, given.get("context"))
    skip = _text(given, "skip")
    redriven = redrive(fantasm.services, step, context=encoded, skip=skip)
    return {"step": step, "instance": instance, "redriven": redriven, "skipped": skip if redriven else None}


def redrive_matching() -> dict[str, Any]:
    """Runs failed steps of a ``machine`` again, those of a ``state`` and a ``fingerprint`` if given.

    ``matching`` is how many there were just before that.
    """
    given = _given("machine", "state", "fingerprint")
    fingerprint = _text(given, "fingerprint") or ""
    if fingerprint and not _FINGERPRINT.fullmatch(fingerprint):
        raise BadRequest("fingerprint is not one: it has digits and the letters a to f")
    machine, state = _machine(given), _text(given, "state") or ""
    fantasm = current_fantasm()
    matching = fantasm.history.count_steps(
        TaskStatus.FAILED, machine=machine, state=state, fingerprint=fingerprint
    )
    done_by = operating.redrive_matching(fantasm.services, machine, state, fingerprint)
    return _operation(done_by) | {"matching": matching}


def hold() -> dict[str, Any]:
    """Parks the steps that come to a ``machine``, or to a ``state`` of it; ``note`` says why."""
    given = _given("machine", "state", "note")
    note = _note(given)
    machine, state = _machine(given), _text(given, "state") or ""
    return shown_hold(operating.hold(current_fantasm().services, machine, state, note))


def release() -> dict[str, Any]:
    """Ends the hold of a ``machine``, or of a ``state`` of it."""
    given = _given("machine", "state")
    machine, state = _machine(given), _text(given, "state") or ""
    return _operation(operating.release(current_fantasm().services, machine, state))


def _operation(instance: InstanceId) -> dict[str, Any]:
    """The instance that carries a command out, and where to look at it."""
    return {
        "instance": instance,
        "status_url": url_for("fantasm.api_instance", name=instance),
        "console_url": url_for("fantasm.console_instance", name=instance),
    }


def _instance(name: str) -> InstanceId:
    return find_instance(name).id


def _given(*names: str) -> Mapping[str, Any]:
    """What the request says: its query, and the form or the JSON object in its body, which wins.

    Nothing that has another name is ignored: a misspelt filter would make a command reach further.
    """
    request.max_content_length = request.max_form_memory_size = BODY_LIMIT
    given: dict[str, Any] = {}
    for source in (request.args, request.form):
        for name, values in source.lists():
            if len(values) > 1:
                raise BadRequest(f"{name[:50]!r} is given {len(values)} times")
            given[name] = values[0]
    given |= _of_json()
    for name in given:
        if name not in names:
            known = f"what is known: {', '.join(names)}" if names else "this command takes nothing"
            raise BadRequest(f"{name[:50]!r} is not known here; {did_you_mean(name, names) or known}")
    return {name: value for name, value in given.items() if value is not None}


def _of_json() -> dict[str, Any]:
    if request.form or not request.get_data(cache=True):
        return {}
    if not request.is_json:
        raise BadRequest("the body is neither a form nor a JSON object (application/json)")
    try:
        body = request.get_json()
    except (BadRequest, RecursionError) as error:
        raise BadRequest("the body is not valid JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is JSON, but not an object")
    return body


def _context(codec: Codec, value: Any) -> bytes | None:
    try:
        return None if value is None else edited_context(codec, value)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not (isinstance(value, str) and _is_utf8(value)):
        raise BadRequest(f"{name} is not a text")
    return value


def _note(given: Mapping[str, Any]) -> str:
    note = _text(given, "note") or ""
    if len(note) > MOST_NOTE:
        raise BadRequest(f"the note has {len(note):,} characters, more than {MOST_NOTE:,}")
    return note


def _is_utf8(text: str) -> bool:
    """Whether Datastore takes it: JSON can say half of a surrogate pair."""
    return text == text.encode(errors="replace").decode()


def _machine(given: Mapping[str, Any]) -> str:
    machine = _text(given, "machine")
    if not machine:
        raise BadRequest("machine is missing: say which one this is about")
    return machine
