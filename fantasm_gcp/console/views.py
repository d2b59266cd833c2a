"""The console's pages: machines, one machine, instances, one instance, failures, a failed step."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from flask import Blueprint, Response, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.console.commands import Commanded, Commands
from fantasm_gcp.console.contexts import editable_context
from fantasm_gcp.console.rendering import answer, drawn
from fantasm_gcp.console.wording import queues_of, sorted_warnings, words_of_notice
from fantasm_gcp.core.definition import AT_LEAST_ONCE, NAME_PATTERN, Definitions, Machine
from fantasm_gcp.core.findings import did_you_mean
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Hold, Instance, InstanceStatus, Role, TaskStatus
from fantasm_gcp.core.step import landing
from fantasm_gcp.engine.history import (
    History,
    holds_on,
    in_order,
    state_counts,
    status_counts,
    told_by,
)
from fantasm_gcp.engine.starting import definition_hash
from fantasm_gcp.errors import (
    CommandError,
    NotThereError,
    RefusedError,
    StartError,
    StoreError,
    UnavailableError,
    UnknownMachineError,
)
from fantasm_gcp.settings import Settings

log = logging.getLogger("fantasm_gcp.console")

LATEST = 10
"""Instances on the pages of machines."""
LISTED = 50
"""Instances on a page of their list; failed steps, and steps in flight, on an instance's page."""
STEPS = 200
"""Steps that are over, and lines of the log, on an instance's page: many, because only within a page can they
be put in order.
"""

LISTS = ("failed", "in_flight", "over", "log", "children")
"""The lists of an instance's page: each has a cursor of its own."""

MOVING, RESTING = 2000, 15000
"""Milliseconds between two refreshes of a page, and of one on which little can happen any more."""


class Served(Commanded, Protocol):
    """What the console shows: an application's machines and their history."""

    @property
    def definitions(self) -> Definitions: ...
    @property
    def settings(self) -> Settings: ...


def add_pages(
    blueprint: Blueprint, current_fantasm: Callable[[], Served], clock: Callable[[], float] = time.time
) -> None:
    """Adds the pages to a blueprint that is named ``fantasm`` and serves ``static`` of this package.

    The pages link to its endpoints ``start``, ``graph``, ``api_instance``, ``api_logs``, ``api_step`` and
    ``api_failures``. What goes wrong in a view is answered as a page; ``clock`` gives seconds of the epoch.
    A page has the buttons and forms of what ``g.fantasm_caller`` may do, which a guard sets before the view.
    """
    pages = _Pages(current_fantasm, clock)
    commands = Commands(current_fantasm)
    for path, endpoint, view in (
        ("/", "console_home", pages.home),
        ("/machines/<machine>", "console_machine", pages.machine),
        ("/instances", "console_instances", pages.instances),
        ("/instances/<name>", "console_instance", pages.instance),
        ("/instances/<name>/steps/<step>", "console_step", pages.step),
        ("/failures", "console_failures", pages.failures),
    ):
        blueprint.add_url_rule(path, endpoint, pages.answering(view), strict_slashes=False)
    for path, endpoint, command in commands.rules():
        blueprint.add_url_rule(path, endpoint, pages.answering(command), methods=["POST"])


class _Pages:
    def __init__(self, current_fantasm: Callable[[], Served], clock: Callable[[], float]) -> None:
        self._current = current_fantasm
        self._clock = clock

    def home(self) -> Response:
        """Every machine with how many instances have each status, and the latest instances."""
        served = self._current()
        machines = _own_first(served.definitions)
        return self._page(
            "home.html",
            machines=machines,
            own=[each for each in machines if each.name not in BUILT_IN],
            queues={each.name: queues_of(each) for each in machines},
            counts=status_counts(served.history, [each for each in machines if _keeps_records(each)]),
            latest=served.history.instances("", "", LATEST, "").items,
            warnings=sorted_warnings(served.definitions),
            held={each.machine for each in served.history.holds()},
            definitions_file=served.settings.definitions,
        )

    def machine(self, machine: str) -> Response:
        """A machine's diagram, what its states are and how many steps are in each, its latest instances."""
        served = self._current()
        found = served.definitions.machine(machine)
        kept = [found] if _keeps_records(found) else []
        counts = state_counts(served.history, found, None) if kept else {}
        holds = [each for each in served.history.holds() if each.machine == found.name] if kept else []
        return self._page(
            "machine.html",
            holds=[(each, self._parked(each)) for each in holds],
            held={each.state for each in holds},
            machine=found,
            queues=queues_of(found),
            counts=counts,
            statuses=status_counts(served.history, kept).get(found.name, {}),
            diagram=drawn(found, counts),
            latest=served.history.instances(found.name, "", LATEST, "").items if kept else (),
            warnings=sorted_warnings(served.definitions).by_machine.get(found.name, ()),
        )

    def _parked(self, hold: Hold) -> int:
        """How many steps wait for the end of a hold, or for that of their instance's pause."""
        history = self._current().history
        return history.count_steps(TaskStatus.PARKED, machine=hold.machine, state=hold.state)

    def instances(self) -> Response:
        """Instances newest first; ``machine``, ``status`` and ``cursor`` are arguments."""
        served = self._current()
        machine, status = request.args.get("machine", ""), request.args.get("status", "")
        if status and status not in set(InstanceStatus):
            return self._problem(
                400, "Unknown status", f"{status!r} is not one of {', '.join(InstanceStatus)}."
            )
        names = tuple(each.name for each in _own_first(served.definitions))
        if machine and not re.fullmatch(NAME_PATTERN, machine):
            raise UnknownMachineError(machine, names)
        cursor = request.args.get("cursor", "")
        page = served.history.instances(machine, status, LISTED, cursor)
        if machine and machine not in names and not page.items and not cursor:
            raise UnknownMachineError(machine, names)  # a machine that is gone may have left instances
        return self._page(
            "instances.html",
            page=page,
            machine=machine,
            status=status,
            cursor=cursor,
            machines=names if not machine or machine in names else (*names, machine),
        )

    def instance(self, name: str) -> Response:
        """One instance and its steps. ``failed``, ``in_flight``, ``over``, ``log`` and ``children`` are the
        cursors of its lists; ``done`` and ``event`` tell of the command that led here.
        """
        served = self._current()
        found = served.history.instance(InstanceId(name))
        if found is None:
            return self._unknown_instance(name)
        lists = self._steps(served.history, found)
        machine = served.definitions.machines.get(found.machine)
        counts = state_counts(served.history, machine, found.id) if machine else {}
        children = served.history.children(found.id, LISTED, request.args.get("children", ""))
        return self._page(
            "instance.html",
            children=children,
            told=told_by(found),
            notice=words_of_notice(request.args.get("done", ""), request.args.get("event", "")),
            at_joins=served.history.at_joins(found.id),
            holds=holds_on(served.history, found),
            parked=served.history.count_steps(TaskStatus.PARKED, instance=found.id),
            waiting=served.history.count_steps(TaskStatus.WAITING, instance=found.id),
            is_current=machine is not None and definition_hash(machine) == found.definition,
            refresh=MOVING if found.ended is None else RESTING,
            instance=found,
            machine=machine,
            counts=counts,
            diagram=drawn(machine, counts) if machine else "",
            **lists,
        )

    def _steps(self, history: History, instance: Instance) -> dict[str, Any]:
        cursor = request.args.get
        failed = history.tasks(instance.id, failed=True, limit=LISTED, cursor=cursor("failed", ""))
        in_flight = history.tasks(instance.id, failed=False, limit=LISTED, cursor=cursor("in_flight", ""))
        over = history.records(instance.id, STEPS, cursor("over", ""))
        logged = history.logs(instance.id, STEPS, cursor("log", ""))
        return {
            "logged": logged,
            "lines": in_order(logged.items),
            "failed": failed,
            "in_flight": in_flight,
            "over": over,
            "failed_steps": sorted(failed.items, key=lambda each: (each.due, each.step.n, each.step.name)),
            "steps_in_flight": sorted(
                in_flight.items, key=lambda each: (each.due, each.step.n, each.step.name)
            ),
            "steps_over": sorted(
                over.items, key=lambda each: (each.began, each.ended, each.step.n, each.step.name)
            ),
            "cursors": {name: cursor(name, "") for name in LISTS},
        }

    def step(self, name: str, step: str) -> Response:
        """A failed step: its error, its context to be edited, and what can be done about it."""
        served = self._current()
        task = served.history.task(StepName(step))
        if task is None or task.step.instance != name:
            return self._problem(
                404,
                "No such step",
                "This step is over, or was never there: only what is in flight or failed has a page.",
                links=[("Its instance", url_for(".console_instance", name=name))],
            )
        machine = served.definitions.machines.get(task.step.machine)
        state = landing(machine, task.step) if machine and task.role is Role.ACTION else None
        return self._page(
            "step.html",
            refresh=0,
            task=task,
            step=task.step,
            state=state,
            collected=served.history.collected(task),
            editable=editable_context(task.context) if task.role is Role.ACTION else "",
        )

    def failures(self) -> Response:
        """Failed steps in groups, or those of one: ``machine``, ``state``, ``fingerprint`` are arguments."""
        served = self._current()
        names = [request.args.get(each, "") for each in ("machine", "state", "fingerprint", "cursor")]
        machine, state, fingerprint, cursor = names
        if fingerprint:
            page = served.history.failures(machine, state, fingerprint, LISTED, cursor)
            values: dict[str, Any] = {"page": page, "groups": (), "complete": True}
        else:
            found = served.history.failure_groups(machine, state)
            values = {"page": None, "groups": found.groups, "complete": found.complete}
        known = tuple(each.name for each in _own_first(served.definitions))
        return self._page(
            "failures.html",
            refresh=0,
            machine=machine,
            state=state,
            fingerprint=fingerprint,
            cursor=cursor,
            machines=known if not machine or machine in known else (*known, machine),
            is_known=machine in known,
            **values,
        )

    def answering(self, view: Callable[..., AnyResponse]) -> Callable[..., AnyResponse]:
        """The view, with what goes wrong in it answered as a page."""

        @functools.wraps(view)
        def answering(**arguments: str) -> AnyResponse:
            try:
                return view(**arguments)
            except UnknownMachineError as error:
                return self._unknown_machine(error)
            except StoreError as error:
                return self._store_failed(error)
            except HTTPException as error:
                return self._refused(error.code or 400, str(error.description))
            except NotThereError as error:
                return self._refused(404, str(error))
            except CommandError as error:
                return self._refused(409, str(error))
            except StartError as error:  # a context that is too large
                return self._refused(413, str(error))

        return answering

    def _unknown_machine(self, error: UnknownMachineError) -> Response:
        close = did_you_mean(error.name, error.machines)
        return self._problem(
            404,
            "Unknown machine",
            f"There is no machine {error.name!r}" + (f"; {close}" if close else "."),
            links=[(each, url_for(".console_machine", machine=each)) for each in error.machines],
            links_are="Machines of this application",
        )

    def _refused(self, status: int, message: str) -> Response:
        """What an operator asked for cannot be done: why, and the way back."""
        names = request.view_args or {}
        links = [("All instances", url_for(".console_instances"))]
        if "name" in names:
            links.insert(0, ("The instance", url_for(".console_instance", name=names["name"])))
        if status != RequestEntityTooLarge.code and "machine" in request.form:  # else it cannot be read
            machine = request.form["machine"][:50]
            links.insert(0, (f"Machine {machine}", url_for(".console_machine", machine=machine)))
        return self._problem(status, "Nothing was changed", message, links=links)

    def _unknown_instance(self, name: str) -> Response:
        machine = name.rsplit("-", 2)[0]
        links = [("All instances", url_for(".console_instances"))]
        if machine in self._current().definitions.machines:
            links.insert(0, (f"Instances of {machine}", url_for(".console_instances", machine=machine)))
        return self._problem(
            404,
            "Unknown instance",
            f"There is no instance {name!r} here. Check the id; an instance of another database or "
            "namespace is not seen from here.",
            links=links,
        )

    def _store_failed(self, error: StoreError) -> Response:
        if isinstance(error, RefusedError):
            return self._problem(
                400,
                "Datastore refused to read this",
                "The address of this page may have been cut or be out of date.",
                detail=str(error),
                links=[("Open it without its arguments", request.path)],
            )
        log.error("%s: %s", type(error).__name__, error, exc_info=error)
        unavailable = isinstance(error, UnavailableError)
        return self._problem(
            500,
            "Datastore did not answer" if unavailable else "Datastore could not be read",
            "Nothing was changed, and instances go on by themselves. Try again in a moment."
            if unavailable
            else "Nothing was changed. The log of the application has the details.",
            detail=str(error),
            links=[("Try again", request.full_path.rstrip("?"))],
        )

    def _problem(self, status: int, title: str, message: str, **more: Any) -> Response:
        values = {"title": title, "message": message, "detail": "", "links": [], "links_are": "Go on with"}
        return self._page("problem.html", status_code=status, **(values | {"refresh": 0} | more))

    def _page(
        self, template: str, *, status_code: int = 200, refresh: int = MOVING, **values: Any
    ) -> Response:
        settings = self._current().settings
        values |= {
            "settings": settings,
            "refresh": refresh,
            "now": self._clock(),
            "endpoint": request.endpoint,
        }
        return answer(template, status_code, values)


def _own_first(definitions: Definitions) -> list[Machine]:
    """The application's own machines in the order of its file, then those that are built in."""
    return sorted(definitions, key=lambda each: each.name in BUILT_IN)


def _keeps_records(machine: Machine) -> bool:
    """Whether there is anything to count and list of a machine."""
    return machine.guarantee != AT_LEAST_ONCE
