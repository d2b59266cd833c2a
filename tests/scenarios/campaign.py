"""The sample campaign on a harness, the faults to run it under, and what it leaves behind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.cloud import datastore
from lives import request_here

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.testing import Crash, Harness, Rpc

FSM = Path(__file__).parents[2] / "fsm.yaml"
SUBSCRIBERS = 3
START = "SendSubscriberEmail/?issue=7"
KEY = {"Idempotency-Key": "campaign"}


class FailAt:
    """Fails at the n-th RPC, counted from 0: before or after carrying it out.

    ``error`` is a status to answer; None kills the worker, which then makes no further RPC.
    """

    def __init__(self, n: int, when: str, error: grpc.StatusCode | None) -> None:
        self.n, self.when, self.error = n, when, error
        self.requests: list[object | None] = []
        """The request that each RPC was made in, so far."""
        self.methods: list[str] = []
        self.dead = False
        self.armed = False

    @property
    def count(self) -> int:
        """How many RPCs there were."""
        return len(self.requests)

    def around(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        if self.dead:
            raise Crash
        if not self.armed:
            return carry_out()
        here = self.count == self.n
        self.requests.append(request_here())
        self.methods.append(rpc.method)
        if here and self.when == "before":
            self._fail()
        response = carry_out()
        if here:
            self._fail()
        return response

    def _fail(self) -> None:
        if self.error is not None:
            raise RpcError(self.error, "injected")
        self.dead = True
        raise Crash


def seed_subscribers(client: datastore.Client, count: int = SUBSCRIBERS) -> None:
    for i in range(count):
        entity = datastore.Entity(client.key("Subscriber", f"subscriber-{i:04}"))
        entity.update(name=f"Name {i}", email=f"{i}@example.org")
        client.put(entity)


def run_campaign(fault: FailAt, *, twice: bool = False, shuffle: int | None = None) -> tuple[Harness, str]:
    """Runs a campaign under a fault; ``twice`` delivers each task twice, ``shuffle`` reorders by a seed.

    The caller of the start repeats it until it is answered, as it would after an error.
    """
    harness = Harness(FSM, around=fault.around)
    seed_subscribers(harness.datastore)
    fault.armed = True
    for _ in range(5):
        try:
            answer = harness.start(START, headers=KEY)
        except Crash:
            fault.dead = False
            continue
        if answer.status_code == 200:
            break
    _deliver_all(harness, fault, twice, None if shuffle is None else random.Random(shuffle))
    fault.armed = False
    return harness, answer.json["instance"]


def _deliver_all(harness: Harness, fault: FailAt, twice: bool, order: random.Random | None) -> None:
    for _ in range(200):
        due = harness.tasks.due()
        attempt = harness.tasks.lease(order.choice(due)) if order and due else harness.next_attempt()
        if attempt is None:
            return
        try:
            harness.deliver(attempt)
        except Crash:
            fault.dead = False
            harness.tasks.finish(attempt, None)
        if twice:
            try:
                harness.answer(attempt)
            except Crash:
                fault.dead = False
    raise AssertionError("the campaign does not end")


def left_behind(harness: Harness, instance: str) -> dict[str, Any]:
    """Everything a campaign wrote, without times and attempt counts.

    Which of the arrivals opened the window is an accident; its name, and who mentions it, is left out.
    """
    client = harness.datastore
    row = client.get(next(iter(client.query(kind="FantasmInstance").fetch())).key)
    records = [_record(each) for each in client.query(kind="FantasmStep").fetch()]
    emails = client.query(kind="OutboxEmail").fetch()
    return {
        "instance": (row["instance"], row["status"], row["closings"], row["definition"]),
        "records": sorted(records),
        "in flight": [each.key.name for each in client.query(kind="FantasmTask").fetch()],
        "entries": [each.key.name for each in client.query(kind="FantasmEntry").fetch()],
        "windows": [each.key.name for each in client.query(kind="FantasmFanIn").fetch()],
        "outbox": sorted((each["to"], each["campaign"] == instance) for each in emails),
        "counter": [each["counter"] for each in client.query(kind="EmailBatch").fetch()],
    }


def _record(row: Any) -> str:
    is_window = "_w" in row["branch"]
    return json.dumps(
        {
            "branch": "window" if is_window else row["branch"],
            "step": [row["from_state"], row["event"], row["state"], row["n"]],
            "outcome": [row["outcome"], row.get("returned"), row["ends_branch"], row["note"]],
            "next": [each for each in row.get("next", ()) if "_w" not in each],
            "ahead": row.get("ahead", []),
            "entries": row.get("entries"),
            "context": row["context"].decode(),
        },
        sort_keys=True,
    )
