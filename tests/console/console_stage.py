"""What the console's tests stand on: a history in memory, an application around it, and a reader of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from flask import Blueprint, Flask, g

from fantasm_gcp.console.views import add_pages
from fantasm_gcp.core.access import Caller, Role
from fantasm_gcp.core.definition import Definitions, Machine, State, Transition
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import (
    Failure,
    Hold,
    Instance,
    InstanceStatus,
    LogLine,
    Outcome,
    Record,
    Step,
    Task,
    TaskStatus,
)
from fantasm_gcp.engine.history import Collected, FailureGroup, Failures, Page, StateCounts
from fantasm_gcp.errors import RefusedError
from fantasm_gcp.settings import Settings

NOW = 1_795_319_483.0
"""2026-11-22 03:51:23 UTC: what the console's clock says."""

ORDERS = Machine(
    "Orders",
    (
        State(
            "Receive", "shop.Receive", initial=True, continuation=True, transitions=(Transition("ok", "Pay"),)
        ),
        State(
            "Pay",
            "shop.Pay",
            transactional=True,
            transitions=(Transition("paid", "Ship", queue="slow"), Transition("refused", "Pay")),
        ),
        State("Ship", "shop.Ship", fan_in=3.0, final=True),
    ),
)
MAILS = Machine("Mails", (State("Send", "mails.Send", initial=True, final=True),), queue="mails")


def definitions(*machines: Machine, **more: Any) -> Definitions:
    return Definitions({each.name: each for each in machines}, **more)


def instance(name: str, status: str = "running", *, machine: str = "Orders", age: float = 60.0) -> Instance:
    """An instance started so many seconds ago; one that is not running ended 10 s after that."""
    started = NOW - age
    return Instance(
        InstanceId(name),
        machine,
        InstanceStatus(status),
        started,
        StepName("first"),
        "digest",
        ended=None if status == "running" else started + 10,
    )


def step(instance: str, target: str = "Pay", *, n: int = 1, branch: str = "main") -> Step:
    return Step(InstanceId(instance), "Orders", branch, "Receive", "ok", target, n)


def task(at: Step, *, due: float = NOW, error: str = "", failed: bool = False, **more: Any) -> Task:
    """A step in flight, or a failed one."""
    failure = Failure(error, f"Traceback of {error}", more.pop("fingerprint", "f00")) if error else None
    status = TaskStatus.FAILED if failed else more.pop("status", TaskStatus.QUEUED)
    return Task(at, more.pop("context", b'{"a":1}'), "default", "POST", due, status, failure=failure, **more)


def record(at: Step, *, began: float = NOW - 30, took: float = 0.25, **more: Any) -> Record:
    """A step that is over."""
    plain: dict[str, Any] = {
        "outcome": Outcome.COMPLETED,
        "event": "paid",
        "next": (),
        "ahead": (),
        "ends_branch": False,
        "due": began,
        "attempts": 1,
        "context": b'{"a":1}',
    }
    return Record(at, began=began, ended=began + took, **(plain | more))


def line(at: Step, message: str = "said", *, level: int = 20, index: int = 0, **more: Any) -> LogLine:
    """A line that a step logged a second ago."""
    name = f"{index % 7:08x}-{at.name}--e0-a1-l{index:03}"
    return LogLine(
        name, at, more.pop("action", "shop.Pay"), more.pop("time", NOW - 1), level, message, **more
    )


@dataclass
class MemoryHistory:
    """A history of what a test puts into its lists. ``broken`` is raised by every read."""

    instances_: list[Instance] = field(default_factory=list)
    tasks_: list[Task] = field(default_factory=list)
    records_: list[Record] = field(default_factory=list)
    lines_: list[LogLine] = field(default_factory=list)
    holds_: list[Hold] = field(default_factory=list)
    collected_: dict[StepName, Collected] = field(default_factory=dict)
    at_joins_: dict[InstanceId, dict[str, int]] = field(default_factory=dict)
    complete: bool = True
    broken: Exception | None = None

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def instance(self, instance: InstanceId) -> Instance | None:
        self._check()
        return next((each for each in self.instances_ if each.id == instance), None)

    def instances(self, machine: str, status: str, limit: int, cursor: str) -> Page[Instance]:
        self._check()
        found = [
            each
            for each in sorted(self.instances_, key=lambda each: -each.started)
            if machine in ("", each.machine) and status in ("", each.status)
        ]
        return _page(found, limit, cursor)

    def count_instances(self, machine: str, status: InstanceStatus) -> int:
        self._check()
        return sum(each.machine == machine and each.status == status for each in self.instances_)

    def tasks(self, instance: InstanceId, *, failed: bool, limit: int, cursor: str) -> Page[Task]:
        self._check()
        found = [
            each
            for each in self.tasks_
            if each.step.instance == instance and (each.status is TaskStatus.FAILED) == failed
        ]
        return _page(found, limit, cursor)

    def children(self, instance: InstanceId, limit: int, cursor: str) -> Page[Instance]:
        self._check()
        return _page([each for each in self.instances_ if each.parent == instance], limit, cursor)

    def holds(self) -> list[Hold]:
        self._check()
        return self.holds_

    def _failed(self, machine: str, state: str, fingerprint: str = "") -> list[Task]:
        self._check()
        return [
            each
            for each in self.tasks_
            if each.status is TaskStatus.FAILED
            and machine in ("", each.step.machine)
            and state in ("", each.step.target)
            and fingerprint in ("", each.failure.fingerprint if each.failure else "")
        ]

    def failure_groups(self, machine: str, state: str) -> Failures:
        groups: dict[tuple[str, str, str], list[Task]] = {}
        for each in self._failed(machine, state):
            fingerprint = each.failure.fingerprint if each.failure else ""
            groups.setdefault((each.step.machine, each.step.target, fingerprint), []).append(each)
        made = (FailureGroup(*key, len(tasks), not self.complete, tasks[0]) for key, tasks in groups.items())
        return Failures(tuple(made), self.complete)

    def failures(self, machine: str, state: str, fingerprint: str, limit: int, cursor: str) -> Page[Task]:
        return _page(self._failed(machine, state, fingerprint), limit, cursor)

    def count_steps(
        self,
        status: TaskStatus,
        *,
        instance: InstanceId | None = None,
        machine: str = "",
        state: str = "",
        fingerprint: str = "",
    ) -> int:
        self._check()
        return sum(
            each.status == status
            and instance in (None, each.step.instance)
            and machine in ("", each.step.machine)
            and state in ("", each.step.target)
            and fingerprint in ("", each.failure.fingerprint if each.failure else "")
            for each in self.tasks_
        )

    def collected(self, task: Task) -> Collected | None:
        self._check()
        return self.collected_.get(task.step.name)

    def at_joins(self, instance: InstanceId) -> Mapping[str, int]:
        self._check()
        return self.at_joins_.get(instance, {})

    def records(self, instance: InstanceId, limit: int, cursor: str) -> Page[Record]:
        self._check()
        return _page([each for each in self.records_ if each.step.instance == instance], limit, cursor)

    def logs(self, instance: InstanceId, limit: int, cursor: str) -> Page[LogLine]:
        self._check()
        return _page([each for each in self.lines_ if each.step.instance == instance], limit, cursor)

    def task(self, step: StepName) -> Task | None:
        self._check()
        return next((each for each in self.tasks_ if each.step.name == step), None)

    def record(self, step: StepName) -> Record | None:
        return next((each for each in self.records_ if each.step.name == step), None)

    def counts(self, machine: str, state: str, instance: InstanceId | None) -> StateCounts:
        self._check()

        def here(at: Step) -> bool:
            return at.machine == machine and at.target == state and instance in (None, at.instance)

        tasks = [each for each in self.tasks_ if here(each.step)]
        failed = sum(each.status is TaskStatus.FAILED for each in tasks)
        done = 0 if instance is None else sum(here(each.step) for each in self.records_)
        return StateCounts(len(tasks) - failed, failed, done)


def _page(found: list[Any], limit: int, cursor: str) -> Page[Any]:
    """A page; its cursor is how many were listed before, and like Datastore's it may lead to none."""
    if cursor and not cursor.isdigit():
        raise RefusedError("the cursor is not one that a page answered")
    begin = int(cursor or 0)
    items = tuple(found[begin : begin + limit])
    return Page(items, str(begin + limit) if len(items) == limit else "")


@dataclass
class Stage:
    """What the console is given by an application."""

    definitions: Definitions = field(default_factory=lambda: definitions(ORDERS, MAILS))
    history: MemoryHistory = field(default_factory=MemoryHistory)
    settings: Settings = field(default_factory=lambda: replace(Settings(), mode="local", project="shop"))


OPERATOR = Caller("olga@example.com", frozenset({Role.OPERATOR}), ambient=True)
VIEWER = Caller("vera@example.com", frozenset({Role.VIEWER}), ambient=True)


def application(
    stage: Stage, clock: Callable[[], float] = lambda: NOW, caller: Caller | None = OPERATOR
) -> Flask:
    """An application with the console, its other paths there to be linked to; a guard says who calls."""
    blueprint = Blueprint(
        "fantasm",
        "fantasm_gcp.console",
        url_prefix="/fantasm",
        template_folder="templates",
        static_folder="static",
    )
    for path, endpoint in (
        ("/fsm/<machine>/", "start"),
        ("/graph/<machine>", "graph"),
        ("/api/machines", "api_machines"),
        ("/api/instances/<name>", "api_instance"),
        ("/api/instances/<name>/logs", "api_logs"),
        ("/api/instances/<name>/steps/<step_name>", "api_step"),
        ("/api/failures", "api_failures"),
    ):
        blueprint.add_url_rule(path, endpoint, _elsewhere, methods=["GET", "POST"])
    add_pages(blueprint, lambda: stage, clock)
    app = Flask("stage")
    if caller is not None:
        app.before_request(lambda: setattr(g, "fantasm_caller", caller))
    app.register_blueprint(blueprint)
    return app


def _elsewhere(**arguments: str) -> Mapping[str, Any]:
    return {"instance": "started", "console_url": "/fantasm/instances/started"} | arguments


VOID = {"meta", "link", "br", "hr", "input", "img", "rect", "circle", "path"}


class Element:
    """An element of a page: its tag, attributes, and what is in it."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.content: list[Element | str] = []

    @property
    def text(self) -> str:
        """All text in it, each run of white space as one space."""
        parts = (each if isinstance(each, str) else each.text for each in self.content)
        return " ".join(" ".join(parts).split())

    def walk(self) -> Iterable[Element]:
        yield self
        for each in self.content:
            if isinstance(each, Element):
                yield from each.walk()

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements of a tag in it; ``class_`` and so on are attributes, ``""`` means that it is there."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            each
            for each in self.walk()
            if each.tag == tag
            and all(
                name in each.attributes and value in ("", each.attributes[name])
                for name, value in wanted.items()
            )
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        """The only element of a tag in it."""
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} <{tag}> with {attributes}"
        return found[0]

    def rows(self) -> list[list[str]]:
        """The cells of each row of a table's bodies."""
        return [
            [each.text for each in row.content if isinstance(each, Element) and each.tag in ("th", "td")]
            for body in self.all("tbody")
            for row in body.all("tr")
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice in <{tag}>"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].content.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].content.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].content.append(data)


def read_page(html: str) -> Element:
    """The page as a tree; fails where tags are not nested or not closed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader._open == [reader.root], f"<{reader._open[-1].tag}> is not closed"
    return reader.root
