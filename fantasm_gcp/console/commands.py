"""What the console's buttons do: a form is posted, the command given, and a page leads on.

After a command the browser is sent to a page that it may load again: loading it gives no command twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from flask import redirect, request, url_for
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.wrappers import Response

from fantasm_gcp.console.contexts import EDITED_LIMIT, edited_context
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import TaskStatus
from fantasm_gcp.engine import operating
from fantasm_gcp.engine.history import History
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.errors import NotThereError

MOST_NOTE = 1000
"""Characters of the note of a hold or a cancellation."""

FORM_LIMIT = 8 * EDITED_LIMIT
"""Bytes of a form: a character of a context may take several."""


class Commanded(Protocol):
    """What commands are carried out with."""

    @property
    def services(self) -> Services: ...
    @property
    def history(self) -> History: ...


class Commands:
    """The console's commands. Each raises what the engine raises, and ``BadRequest`` for a wrong form."""

    def __init__(self, current: Callable[[], Commanded]) -> None:
        self._current = current

    def rules(self) -> Iterator[tuple[str, str, Callable[..., Response]]]:
        """The path, the endpoint and the view of each."""
        yield "/instances/<name>/cancel", "console_cancel", self.cancel
        yield "/instances/<name>/pause", "console_pause", self.pause
        yield "/instances/<name>/resume", "console_resume", self.resume
        yield "/instances/<name>/redrive", "console_redrive", self.redrive
        yield "/instances/<name>/steps/<step>/redrive", "console_redrive_step", self.redrive_step
        yield "/failures/redrive", "console_redrive_matching", self.redrive_matching
        yield "/holds", "console_hold", self.hold
        yield "/holds/release", "console_release", self.release

    def cancel(self, name: str) -> Response:
        """Stops an instance for good; the form's ``note`` says why."""
        note = request.form.get("note", "").strip()[:MOST_NOTE]
        if note:
            operating.cancel(self._services, InstanceId(name), note)
        else:
            operating.cancel(self._services, InstanceId(name))
        return _to_instance(name)

    def pause(self, name: str) -> Response:
        """Parks the steps of an instance from now on."""
        operating.pause(self._services, InstanceId(name))
        return _to_instance(name)

    def resume(self, name: str) -> Response:
        """Lets a paused instance go on."""
        operating.resume(self._services, InstanceId(name))
        return _to_instance(name)

    def redrive(self, name: str) -> Response:
        """Runs all failed steps of an instance again."""
        operating.redrive_instance(self._services, InstanceId(name))
        return _to_instance(name)

    def redrive_step(self, name: str, step: str) -> Response:
        """Runs a failed step again, with the form's ``context``, or skipping it by its event ``skip``."""
        request.max_content_length = request.max_form_memory_size = FORM_LIMIT
        if (request.content_length or 0) > FORM_LIMIT:  # the guard may have read the form already
            raise RequestEntityTooLarge
        services, context = self._services, request.form.get("context")
        if not step.partition("-")[2].startswith(f"{name}--"):
            raise NotThereError(f"instance {name!r} has no step {step!r}")
        try:
            encoded = None if context is None else edited_context(services.codec, context)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        skip = request.form.get("skip")
        if not redrive(services, StepName(step), context=encoded, skip=skip):
            return _to_instance(name, done="unchanged")
        return _to_instance(name) if skip is None else _to_instance(name, done="skipped", event=skip)

    def redrive_matching(self) -> Response:
        """Runs the failed steps of a machine, a state and a fingerprint again."""
        machine, state, fingerprint = (
            request.form.get(each, "") for each in ("machine", "state", "fingerprint")
        )
        matching = self._current().history.count_steps(
            TaskStatus.FAILED, machine=machine, state=state, fingerprint=fingerprint
        )
        done_by = operating.redrive_matching(self._services, machine, state, fingerprint)
        return _to_instance(done_by) if matching else _to_instance(done_by, done="unmatched")

    def hold(self) -> Response:
        """Parks what comes to a machine, or to one state of it."""
        machine, state, note = (request.form.get(each, "") for each in ("machine", "state", "note"))
        operating.hold(self._services, machine, state, note[:MOST_NOTE])
        return redirect(url_for(".console_machine", machine=machine), 303)

    def release(self) -> Response:
        """Ends a hold."""
        machine, state = request.form.get("machine", ""), request.form.get("state", "")
        operating.release(self._services, machine, state)
        return redirect(url_for(".console_machine", machine=machine), 303)

    @property
    def _services(self) -> Services:
        return self._current().services


def _to_instance(name: str, done: str | None = None, event: str | None = None) -> Response:
    """To an instance's page, which says what was done where it does not show: see ``words_of_notice``."""
    return redirect(url_for(".console_instance", name=name, done=done, event=event), 303)
