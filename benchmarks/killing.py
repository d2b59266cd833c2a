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
from benchmarks.consistency import instances_of, rows_left, wrong_instances, wrong_records
from benchmarks.deployment import Deployment
from benchmarks.workload import MACHINES, wrong_counts
from fantasm_gcp.gateways.clients import Channels, datastore_api, datastore_users, tasks_api
from fantasm_gcp.settings import Settings

MOMENTS = (
    *("before Commit", "after Commit") * 3,
    *("before CreateTask", "after CreateTask", "before BatchCreateTasks", "after BatchCreateTasks"),
    *("before RunQuery", "after RunQuery", "after BeginTransaction", "after Lookup", "action", "action"),
)
"""Where workers are killed; what decides most is there more often."""

STARTS = 2
"""Instances that are started before each kill."""

PATIENCE = 1.0
"""Seconds after which a moment that does not come is given up for the next one of any kind."""

AHEAD = 125.0
"""Seconds that a sweep's clock is ahead: more than the minute for which nothing is overdue, and a half."""

FAR_AHEAD = 400.0
"""The same for the sweeps at the end: they find what sweeps before them have put off, too.

Less than the ten minutes by which the sweeper's memory lags behind, because it goes by the same clock.
"""

LAST_SWEEPS = 3
"""Sweeps at the end, one after the other as long as instances run and no task is left."""

IDLE_SECONDS = 0.5
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
        channels = Channels.of(settings)
        location = f"projects/{settings.project}/locations/{settings.location}"
        self._queue = f"{location}/queues/default"
        self._api: Any = (api := datastore_api(channels))
        self._client: Any = datastore_users(channels, settings, api)
        self._tasks: Any = tasks_api(channels)
        self._tasks.create_queue(parent=location, queue=Queue(name=self._queue))

    def run(self, kills: int) -> Figures:
        """Kills so many workers, and a server now and then. Raises :class:`TimeUpError`."""
        for number in range(kills):
            for each in range(STARTS):
                machine = MACHINES[(number * STARTS + each) % len(MACHINES)]
                self._caller.start(machine, f"{self._seed}-{number}-{each}")
            if number % 4 == 3:
                self._caller.sweep(AHEAD)
            if number % 7 == 6:
                self._kill_server()
            if number == kills // 2:
                self._lose_tasks()
            self._kill_worker()
            self._hasten()
        self._caller.wait()
        self._await_end()
        self._judge()
        return self._figures

    def close(self) -> None:
        """Lets go whoever still waits to be killed, and closes what is open. Idempotent."""
        self._appointments.withdraw()
        self._appointments.clear()
        self._caller.close()
        self._api.transport.close()
        self._tasks.transport.close()

    # -- killing ------------------------------------------------------------------------------------------

    def _kill_worker(self) -> None:
        self._appointments.make(self._chance.choice(MOMENTS), self._chance.randint(1, 4))
        taken = self._await_taken(PATIENCE)
        if taken is None:
            self._appointments.make(ANY, 1)
            taken = self._await_taken(max(0.0, self._deadline - time.monotonic()))
        if taken is None:
            raise TimeUpError("no worker does anything any more")
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

    def _kill_server(self) -> None:
        rows, tasks = self._deployment.rows, self._deployment.tasks
        server = tasks if rows is None else self._chance.choice([rows, tasks])
        server.kill_and_begin_again()
        self._figures.servers["Cloud Tasks" if server is tasks else "Datastore"] += 1

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

    def _await_end(self) -> None:
        """Returns when no task is left and nothing runs, or nothing can make it run any more."""
        sweeps = LAST_SWEEPS
        idle_since: float | None = None
        while True:
            self._hasten()
            now = time.monotonic()
            tasks = self._tasks_left()
            if not tasks and not self._runs():
                return
            idle_since = None if tasks else idle_since or now
            if idle_since is not None and now - idle_since > IDLE_SECONDS:
                if not sweeps:
                    return
                self._caller.sweep(FAR_AHEAD)
                self._caller.wait()
                sweeps, idle_since = sweeps - 1, None
            if now > self._deadline:
                raise TimeUpError(f"tasks left: {tasks[:5]}")
            time.sleep(0.1)

    def _runs(self) -> bool:
        query = self._client.query(kind="FantasmInstance")
        running = PropertyFilter("status", "=", "running")  # type: ignore[no-untyped-call]  # the client is untyped
        query.add_filter(filter=running)
        query.keys_only()
        return bool(list(query.fetch(limit=1)))

    def _tasks_left(self) -> list[str]:
        return [each.name for each in self._tasks.list_tasks(parent=self._queue)]

    def _judge(self) -> None:
        figures, client = self._figures, self._client
        instances = instances_of(client)
        records = list(client.query(kind="FantasmStep").fetch())
        figures.machines.update(row["machine"] for row in instances.values())
        figures.steps = len(records)
        figures.retried = sum(row["attempts"] > 1 for row in records)
        figures.sweeps, figures.mended = self._caller.sweeps, self._caller.mended
        figures.repeated = self._caller.repeated
        figures.faults += wrong_instances(instances, self._caller.started, "Told")
        figures.faults += wrong_records(records, instances)
        figures.faults += rows_left(client)
        figures.faults += [f"task {each} is left" for each in self._tasks_left()]
        figures.faults += wrong_counts(client, instances)
