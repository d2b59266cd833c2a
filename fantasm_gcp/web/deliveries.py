"""What the headers of a delivery say of it, and the status by which a failed one comes again.

Cloud Tasks names its own headers by the target of the task: ``X-AppEngine-*`` or ``X-CloudTasks-*``. Only the
set of the configured target is read: App Engine lets nobody else set the first, and whoever may deliver to a
URL may set the second, but neither protects the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Request, Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest

from fantasm_gcp.core.callback import EPOCH_HEADER, PENDING_HEADER
from fantasm_gcp.core.carried import carried
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.core.findings import Findings
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Task
from fantasm_gcp.engine.delivery import Delivery
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.settings import Settings
from fantasm_gcp.web.arguments import kept_headers
from fantasm_gcp.web.current import current_fantasm

STEP_ENDPOINT = "step"

AGAIN = 424
"""What a failed attempt is answered where tasks go to a URL.

There the count of attempts that were answered leaves out those of 5xx, which could not be told from attempts
that nobody answered. Any 4xx is counted, retried like every failure, and slows down no queue but 429. This
one is answered by no server in front of an application.
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What Cloud Tasks says of a delivery: its queue, and how many attempts there were before this one.

    ``unanswered`` of the ``earlier`` attempts ended without an answer: their workers were killed, ran out of
    time, or the platform found none. Each is 0 where the header is missing or no number.
    """

    queue: str
    earlier: int
    unanswered: int


def read_counts(headers: Headers, *, app_engine: bool) -> Counts:
    """Reads the headers that Cloud Tasks sets for App Engine targets, or those for URLs.

    On both, ``TaskRetryCount`` has every earlier attempt. ``TaskExecutionCount`` has those that were
    answered: for App Engine whatever the answer was, for URLs but for 5xx (see ``AGAIN``).
    """
    prefix = "X-AppEngine-" if app_engine else "X-CloudTasks-"
    earlier = _number(headers.get(f"{prefix}TaskRetryCount"))
    answered = _number(headers.get(f"{prefix}TaskExecutionCount"))
    queue = headers.get(f"{prefix}QueueName", "default")
    return Counts(queue, earlier, max(0, earlier - answered))


def read_delivery(step: str, instance: str, given: Request, settings: Settings) -> Delivery:
    """The delivery of a step that has a row."""
    counts = read_counts(given.headers, app_engine=settings.has_app_engine_target)
    return Delivery(
        StepName(step),
        InstanceId(instance),
        epoch=_number(given.headers.get(EPOCH_HEADER)),
        unanswered=counts.unanswered,
        pending=_number(given.headers.get(PENDING_HEADER)),
    )


def read_carried(
    instance: str, place: tuple[str, str, str, str], given: Request, settings: Settings, now: float
) -> tuple[Task, int]:
    """The step that its task carries, and which attempt at it this is, from 1.

    ``place`` is what the path says: machine, state, event and target. Raises ``BadRequest`` for headers that
    no task of ours has.
    """
    machine, state, event, target = place
    counts = read_counts(given.headers, app_engine=settings.has_app_engine_target)
    try:
        task = carried(
            given.headers,
            given.get_data(),
            instance=InstanceId(instance),
            machine=machine,
            state=state,
            event=event,
            target=target,
            epoch=_number(given.headers.get(EPOCH_HEADER)),
            queue=counts.queue,
            method=given.method,
            now=now,
            kept=kept_headers(given),
        )
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise BadRequest("the headers of this step are not those of a task of fantasm_gcp") from error
    return task, counts.earlier + 1


def answer_again(response: Response) -> Response:
    """Sees to the status by which a failed delivery comes again, whoever in the application answered it.

    Where tasks go to a URL, every 5xx on the path of a step becomes ``AGAIN``, and so does 429, which would
    slow the whole queue down. To App Engine's queues 503 is never answered, for the same reason.
    """
    status = response.status_code
    if (status >= 500 or status == 429) and (request.endpoint or "").rpartition(".")[2] == STEP_ENDPOINT:
        if not current_fantasm().has_app_engine_target:
            response.status_code = AGAIN
        elif status == 503:
            response.status_code = 500
    return response


def refuse_services(definitions: Definitions, settings: Settings) -> None:
    """Raises ``DefinitionError`` for tasks that are to go to an App Engine service, where all go to a URL.

    They would run here instead.
    """
    if settings.has_app_engine_target:
        return
    findings, places = Findings(), definitions.places
    for machine in definitions:
        ways: list[tuple[tuple[str, ...], str | None]] = [((machine.name,), machine.target)]
        for state in machine.states:
            begin = (machine.name, "states", state.name, "transitions")
            ways += [((*begin, each.event), each.target) for each in state.transitions]
        for path, service in ways:
            if service is not None:
                # What a transition inherits stands where the machine has it.
                place = places.get((*path, "target")) or places.get((machine.name, "target")) or places[path]
                message = f"tasks go to a URL here, so these cannot go to the App Engine service {service!r}"
                findings.error(place, message, "remove it; or FANTASM_TARGET=app-engine, on App Engine")
    if findings.errors:
        raise DefinitionError(findings.in_order())


def _number(header: str | None) -> int:
    return int(header[:12]) if header and header.isascii() and header.isdigit() else 0
