"""The console's pages: machines, one machine, instances, one instance."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from flask import Blueprint, Response, request, url_for

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.console.rendering import answer, drawn
from fantasm_gcp.console.wording import queues_of, sorted_warnings
from fantasm_gcp.core.definition import AT_LEAST_ONCE, NAME_PATTERN, Definitions, Machine
from fantasm_gcp.core.findings import did_you_mean
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import Instance, InstanceStatus
from fantasm_gcp.engine.history import History, in_order, state_counts, status_counts
from fantasm_gcp.errors import RefusedError, StoreError, UnavailableError, UnknownMachineError
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

MOVING, RESTING = 2000, 15000
"""Milliseconds between two refreshes of a page, and of one on which little can happen any more."""


class Served(Protocol):
    """What the console shows: an application's machines and their history."""

    @property
    def definitions(self) -> Definitions: ...
    @property
    def history(self) -> History: ...
    @property
    def settings(self) -> Settings: ...


def add_pages(
    blueprint: Blueprint, current_fantasm: Callable[[], Served], clock: Callable[[], float] = time.time
) -> None:
    """Adds the pages to a blueprint that is named ``fantasm`` and serves ``static`` of this package.

    The pages link to its endpoints ``start``, ``graph``, ``api_instance``, ``api_logs`` and ``api_step``.
    What goes wrong in a view is answered as a page; ``clock`` gives seconds of the epoch.
    """
    pages = _Pages(current_fantasm, clock)
    for path, endpoint, view in (
        ("/", "console_home", pages.home),
        ("/machines/<machine>", "console_machine", pages.machine),
        ("/instances", "console_instances", pages.instances),
        ("/instances/<name>", "console_instance", pages.instance),
    ):
        blueprint.add_url_rule(path, endpoint, pages.answering(view), strict_slashes=False)


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
            definitions_file=served.settings.definitions,
        )

    def machine(self, machine: str) -> Response:
        """A machine's diagram, what its states are and how many steps are in each, its latest instances."""
        served = self._current()
        found = served.definitions.machine(machine)
        kept = [found] if _keeps_records(found) else []
        counts = state_counts(served.history, found, None) if kept else {}
        return self._page(
            "machine.html",
            machine=found,
            queues=queues_of(found),
            counts=counts,
            statuses=status_counts(served.history, kept).get(found.name, {}),
            diagram=drawn(found, counts),
            latest=served.history.instances(found.name, "", LATEST, "").items if kept else (),
            warnings=sorted_warnings(served.definitions).by_machine.get(found.name, ()),
        )

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
        """One instance and its steps. ``failed``, ``in_flight``, ``over`` and ``log`` are the cursors of its
        lists.
        """
        served = self._current()
        found = served.history.instance(InstanceId(name))
        if found is None:
            return self._unknown_instance(name)
        lists = self._steps(served.history, found)
        machine = served.definitions.machines.get(found.machine)
        counts = state_counts(served.history, machine, found.id) if machine else {}
        return self._page(
            "instance.html",
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
            "cursors": {name: cursor(name, "") for name in ("failed", "in_flight", "over", "log")},
        }

    def answering(self, view: Callable[..., Response]) -> Callable[..., Response]:
        """The view, with what goes wrong in it answered as a page."""

        @functools.wraps(view)
        def answering(**arguments: str) -> Response:
            try:
                return view(**arguments)
            except UnknownMachineError as error:
                return self._unknown_machine(error)
            except StoreError as error:
                return self._store_failed(error)

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
