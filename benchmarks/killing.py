"""One run: workers die at moments that are chosen for them, then everything ends and is judged."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from google.api_core.exceptions import NotFound
from google.api_core.retry import Retry
from google.cloud.datastore.query import PropertyFilter
from google.cloud.tasks_v2 import Queue

from benchmarks.appointments import ANY, POLL, Appointments, Taken
from benchmarks.calling import Caller, TimeUpError
from benchmarks.consistency import instances_of, rows_left, rows_of, wrong_instances, wrong_records
from benchmarks.deployment import Deployment, Server
from benchmarks.workload import MACHINES, wrong_counts
from fantasm_gcp.gateways.clients import Channels, datastore_api, datastore_users, tasks_api
from fantasm_gcp.settings import Settings, complete

DECISIVE = (
    "before Commit",
    "after Commit",
    "before (Batch)?Create",
    "after (Batch)?Create",
    "after RunQuery",
)
MOMENTS = (*DECISIVE, *DECISIVE, "before RunQuery", "after BeginTransaction", "after Lookup", "action")
"""Where workers are killed, as patterns; what decides more is there more often."""

PLACES = (
    *("Chain Keep", "Tree Plant", "Tree Pick", "Tree Pack", "Family Bear", "Family Gather", "Child Leave"),
    *("Crawl Split", "Crawl Fetch", "Crawl Brittle", "Crawl Gone", "Crawl Merge", "Crawl Total"),
    *("Told Note", "fantasm sweep"),
)
"""Steps in which the more delicate things happen: half of the kills are meant for them."""

STARTS = 2
"""Instances that are started before each kill."""

PATIENCE = 1.0
"""Seconds after which a moment that does not come is given up for the next one of any kind."""

AHEAD = 125.0
"""Seconds that a sweep's clock is ahead: steps are overdue after one minute, rounded up to whole ones."""

DAY_AHEAD = 25 * 3600.0
"""The same for the sweeps at the end, and from one to the next.

Once a day a sweep looks through everything, also for instances whose end nobody has seen.
"""

LAST_SWEEPS = 3
"""Sweeps at the end, one after the other as long as instances run and no task is left."""

IDLE_SECONDS = 1.0
"""How long there has to be no task until a sweep, or the judgement, is due."""

FAR_SECONDS = 60.0
"""Tasks that are further ahead are those of a sweep, whose clock was ahead: they are made to run."""


@dataclass
class Figures:
    """What a run has done, and in ``faults`` what is wrong after it."""

    kills: Counter[str] = field(default_factory=Counter)
    servers: Counter[str] = field(default_factory=Counter)
    machines: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    retried: int = 0
    lost: int = 0
    sweeps: int = 0
    mended: int = 0
    repeated: int = 0
    faults: list[str] = field(default_factory=list)


class Killing:
    """A run against a deployment, until ``deadline``, a moment of ``time.monotonic``; it has to be closed."""

    def __init__(self, deployment: Deployment, seed: int, deadline: float) -> None:
        self._deployment = deployment
        self._chance = random.Random(seed)
        self._seed = seed
        self._starts = 0
        self._deadline = deadline
        self._appointments = Appointments(deployment.moments)
        self._caller = Caller(deployment, deadline)
        self._figures = Figures()
        settings = Settings(
            project=deployment.datastore.project,
            namespace=deployment.datastore.namespace,
            datastore_emulator_host=deployment.datastore.host,
            tasks_emulator_host=deployment.tasks.host,
        )
        settings = complete(settings)
        channels = Channels.of(settings)
        location = f"projects/{settings.project}/locations/{settings.location}"
        self._queue = f"{location}/queues/default"
        self._api: Any = (api := datastore_api(channels))
        self._client: Any = datastore_users(channels, settings, api)
        self._tasks: Any = tasks_api(channels)
        self._tasks.create_queue(parent=location, queue=Queue(name=self._queue))

    def run(self, kills: int) -> Figures:
        """Kills so many workers, half of them in each part; what is wrong then is told in the figures.

        In the first part the Datastore server is killed, too, and everything has to end by itself.
        In the second one tasks are lost: the Cloud Tasks server is killed, and all that is in the queue is
        deleted. Then the sweeper has to be called, and its clock is ahead.
        """
        first = kills // 2
        try:
            for number in range(first):
                self._kill_by_itself(number)
            if self._ends(sweeps=0):
                for number in range(first, kills):
                    self._kill_with_losses(number - first, purge=number == (first + kills) // 2)
                self._ends(sweeps=LAST_SWEEPS)
        except TimeUpError as error:
            self._figures.faults.append(f"the time is up: {error}")
        self._judge()
        return self._figures

    def _kill_by_itself(self, number: int) -> None:
        self._start()
        if number % 5 == 2 and self._deployment.rows is not None:
            self._kill_server(self._deployment.rows, "Datastore")
        if number % 4 == 3:
            self._caller.sweep(0)
        self._kill_worker()

    def _kill_with_losses(self, turn: int, purge: bool) -> None:
        self._start()
        if turn % 5 == 2:
            self._kill_server(self._deployment.tasks, "Cloud Tasks")
        if purge:
            self._lose_tasks()
        if turn % 4 == 3:
            self._caller.sweep(AHEAD)
        self._kill_worker()
        self._hasten()

    def _start(self) -> None:
        for _ in range(STARTS):
            self._caller.start(MACHINES[self._starts % len(MACHINES)], f"{self._seed}-{self._starts}")
            self._starts += 1

    def close(self) -> None:
        """Lets go whoever still waits to be killed, and closes what is open. Idempotent."""
        self._appointments.withdraw()
        self._appointments.clear()
        self._caller.close()
        self._api.transport.close()
        self._tasks.transport.close()

    # -- killing ------------------------------------------------------------------------------------------

    def _kill_worker(self) -> None:
        pattern, number = self._chance.choice(MOMENTS), self._chance.randint(1, 4)
        if self._chance.random() < 0.5:
            pattern = f"{self._chance.choice(DECISIVE)}.* in {self._chance.choice(PLACES)}"
            number = (number + 1) // 2
        self._appointments.make(pattern, number)
        taken = self._await_taken(PATIENCE)
        if taken is None:
            self._appointments.make(ANY, self._chance.randint(1, 6))
            taken = self._await_taken(2 * PATIENCE)
        while taken is None:
            if time.monotonic() > self._deadline:
                raise TimeUpError("no worker does anything any more")
            self._start()  # what there was is over, or waits for a sweep
            self._appointments.make(ANY, 1)
            taken = self._await_taken(PATIENCE)
        if taken.parent != self._deployment.gunicorn.popen.pid:
            raise RuntimeError(f"{taken} is no worker of ours")
        os.kill(taken.pid, signal.SIGKILL)
        self._appointments.clear()
        self._figures.kills[taken.moment.partition(" in ")[0]] += 1

    def _await_taken(self, patience: float) -> Taken | None:
        give_up = time.monotonic() + patience
        while (taken := self._appointments.taken()) is None:
            if time.monotonic() > give_up:
                return self._appointments.withdraw()
            time.sleep(POLL)
        return taken

    def _kill_server(self, server: Server, name: str) -> None:
        server.kill_and_begin_again()
        self._figures.servers[name] += 1

    def _lose_tasks(self) -> None:
        """Deletes every task: what was in the queue is found by the next sweep, or is lost."""
        before = len(self._tasks_left())
        self._tasks.purge_queue(name=self._queue, retry=Retry())
        self._figures.lost += before

    def _hasten(self) -> None:
        """Has tasks run that were scheduled by a sweep's clock."""
        far = time.time() + FAR_SECONDS
        for each in self._tasks.list_tasks(parent=self._queue):
            if each.schedule_time.timestamp() > far:
                with suppress(NotFound):  # somebody else has deleted it
                    self._tasks.run_task(name=each.name, retry=Retry())

    # -- the end ------------------------------------------------------------------------------------------

    def _ends(self, sweeps: int) -> bool:
        """Waits until no task is left and nothing runs, and answers True.

        As long as there are instances that run and no task, it sweeps, so many times at most; then nothing
        makes them run any more: a fault.
        """
        self._caller.wait()
        swept = 0
        idle_since: float | None = None
        while True:
            self._hasten()
            tasks = self._tasks_left()
            running = self._running()
            now = time.monotonic()
            if not tasks and not running:
                return True
            idle_since = None if tasks else idle_since or now
            if idle_since is not None and now - idle_since > IDLE_SECONDS:
                if swept == sweeps:
                    self._figures.faults.append(f"there is no task for what runs: {running}")
                    return False
                swept, idle_since = swept + 1, None
                self._caller.sweep(swept * DAY_AHEAD)
                self._caller.wait()
            if now > self._deadline:
                raise TimeUpError(f"tasks left: {tasks[:5]}, of {running}")
            time.sleep(0.1)

    def _running(self) -> list[str]:
        """Some of the instances that have not ended."""
        query = self._client.query(kind="FantasmInstance")
        running = PropertyFilter("status", "=", "running")  # type: ignore[no-untyped-call]  # the client is untyped
        query.add_filter(filter=running)
        return [each["instance"] for each in query.fetch(limit=5)]

    def _tasks_left(self) -> list[str]:
        return [each.name for each in self._tasks.list_tasks(parent=self._queue)]

    def _judge(self) -> None:
        figures, api, place = self._figures, self._api, self._deployment.datastore
        instances = instances_of(api, place)
        records = list(rows_of(api, place, "FantasmStep"))
        machines = {name: row.entity for name, row in instances.items()}
        figures.machines.update(row["machine"] for row in machines.values())
        figures.steps = len(records)
        figures.retried = sum(row.entity["attempts"] > 1 for row in records)
        figures.sweeps, figures.mended = self._caller.sweeps, self._caller.mended
        figures.repeated = self._caller.repeated
        figures.faults += wrong_instances(instances, self._caller.started, "Told")
        figures.faults += wrong_records(records, instances)
        figures.faults += rows_left(api, place)
        figures.faults += [f"task {each} is left" for each in self._tasks_left()]
        figures.faults += wrong_counts(self._client, machines)
