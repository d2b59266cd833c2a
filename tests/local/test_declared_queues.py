"""The queues of a queue.yaml and of definitions, as they are on a server."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import tasks_v2
from tasks_support import LOCATION, Client, Clock, app_engine_task, refusal

from fantasm_gcp.loader import parse_queues, parse_text
from fantasm_gcp.local.tasks import Response, TasksServer
from fantasm_gcp.local.tasks.configuration.queue_yaml import (
    QUEUE_YAML_TOMBSTONE,
    build_default_queues,
    build_queues,
    name_queues,
)

DAY = 86_400
YAML = """\
queue:
- name: blue
  target: v2.worker
  rate: 90/m
  bucket_size: 2
  max_concurrent_requests: 10
  retry_parameters:
    task_retry_limit: 1
    task_age_limit: 2d
    min_backoff_seconds: 0.25
    max_backoff_seconds: 200.5
    max_doublings: 3
- {name: plain, rate: 0.5/s}
- {name: still, rate: 0}
- {name: once, rate: 5/s, retry_parameters: {task_retry_limit: 0}}
"""
MACHINES = """\
state_machines:
- name: Mail
  queue: mails
  states:
  - name: Send
    action: shop.Send
    initial: true
    transitions:
    - {event: ok, to: Done, queue: counts}
    - {event: again, to: Send}
  - {name: Done, action: shop.Done, final: true}
- name: Other
  states: [{name: One, action: shop.One, initial: true, final: true}]
"""


def declare(server: TasksServer, text: str = YAML) -> None:
    for queue in build_queues(parse_queues(text, "queue.yaml"), LOCATION):
        server.declare_queue(queue, tombstone_seconds=QUEUE_YAML_TOMBSTONE)


def queue_named(client: Client, name: str) -> Any:
    return client.get_queue(name=f"{LOCATION}/queues/{name}")


def test_a_queue_of_queue_yaml_has_all_that_it_says(server: TasksServer, client: Client) -> None:
    """The names of the one file are the fields of the other; a limit of retries leaves the first attempt out."""
    declare(server)
    blue = queue_named(client, "blue")
    limits, retry = blue.rate_limits, blue.retry_config

    assert (1.5, 2, 10) == (
        limits.max_dispatches_per_second,
        limits.max_burst_size,
        limits.max_concurrent_dispatches,
    )
    assert (2, 2 * DAY, 0.25, 200.5, 3) == (
        retry.max_attempts,
        retry.max_retry_duration.total_seconds(),
        retry.min_backoff.total_seconds(),
        retry.max_backoff.total_seconds(),
        retry.max_doublings,
    )
    routing = blue.app_engine_routing_override
    assert ("worker", "v2", "v2.worker.demo.appspot.com") == (routing.service, routing.version, routing.host)


def test_what_a_file_leaves_open_is_as_gcloud_deploys_it(server: TasksServer, client: Client) -> None:
    """Retries without end, and a burst of five: other defaults than those of CreateQueue."""
    declare(server)
    plain = queue_named(client, "plain")

    assert (0.5, 5, 1000) == (
        plain.rate_limits.max_dispatches_per_second,
        plain.rate_limits.max_burst_size,
        plain.rate_limits.max_concurrent_dispatches,
    )
    assert (-1, 16, 0.1, 3600.0, False) == (
        plain.retry_config.max_attempts,
        plain.retry_config.max_doublings,
        plain.retry_config.min_backoff.total_seconds(),
        plain.retry_config.max_backoff.total_seconds(),
        "max_retry_duration" in plain.retry_config,
    )
    assert ("RUNNING", False) == (plain.state.name, "app_engine_routing_override" in plain)


def test_no_retry_is_one_attempt(server: TasksServer, client: Client) -> None:
    """A limit of 0 is a limit, and not the default."""
    declare(server)
    client.create_task(parent=f"{LOCATION}/queues/once", task=app_engine_task())
    attempt = server.lease()

    assert attempt is not None
    assert server.finish(attempt, Response(500)).result == "exhausted"


@pytest.mark.parametrize("again", [False, True])
def test_a_queue_with_rate_0_is_paused(server: TasksServer, client: Client, again: bool) -> None:
    """It takes tasks and delivers none until it is resumed; also after a reset, or when it ran before."""
    name = f"{LOCATION}/queues/still"
    if again:
        client.create_queue(parent=LOCATION, queue={"name": name})
    declare(server)
    if again:
        server.reset()
    client.create_task(parent=name, task=app_engine_task())
    assert (tasks_v2.Queue.State.PAUSED, None) == (client.get_queue(name=name).state, server.lease())

    client.resume_queue(name=name)
    assert server.lease() is not None


def test_names_of_tasks_stay_taken_for_nine_days(server: TasksServer, client: Client, clock: Clock) -> None:
    """In queues of a queue.yaml; a day in others."""
    declare(server)
    of_yaml, of_api = f"{LOCATION}/queues/plain", f"{LOCATION}/queues/other"
    for parent in (of_yaml, of_api):
        task = app_engine_task()
        task["name"] = f"{parent}/tasks/t"
        client.create_task(parent=parent, task=task)
        client.delete_task(name=task["name"])
    clock.advance(9 * DAY - 1)
    client.create_task(parent=of_api, task={**app_engine_task(), "name": f"{of_api}/tasks/t"})
    again = {**app_engine_task(), "name": f"{of_yaml}/tasks/t"}
    assert refusal(lambda: client.create_task(parent=of_yaml, task=again))[0] == "ALREADY_EXISTS"
    clock.advance(1)
    client.create_task(parent=of_yaml, task=again)


def test_an_update_resets_the_burst(server: TasksServer, client: Client) -> None:
    """As the API reference has it: the burst follows the rate then, whether that changes or not."""
    declare(server)
    client.update_queue(
        queue={"name": f"{LOCATION}/queues/blue", "retry_config": {"max_attempts": 5}},
        update_mask={"paths": ["retry_config.max_attempts"]},
    )

    assert queue_named(client, "blue").rate_limits.max_burst_size == 10


def test_declaring_again_changes_what_the_file_changes(server: TasksServer, client: Client) -> None:
    """Tasks stay, and a queue that a person has paused stays paused."""
    declare(server)
    name = f"{LOCATION}/queues/plain"
    client.create_task(parent=name, task=app_engine_task())
    client.pause_queue(name=name)
    declare(server, YAML.replace("0.5/s", "7/s"))
    plain = queue_named(client, "plain")

    assert (7.0, "PAUSED", 1) == (
        plain.rate_limits.max_dispatches_per_second,
        plain.state.name,
        server.depth(name),
    )


def test_queues_that_definitions_name_get_the_defaults(server: TasksServer, client: Client) -> None:
    """Those of machines and of transitions, each once, unless queue.yaml has them."""
    names = name_queues(parse_text(MACHINES, "fsm.yaml", resolve_names=False))
    assert ["counts", "default", "mails"] == names

    declared = build_queues(parse_queues("queue: [{name: mails, rate: 1/s}]", "queue.yaml"), LOCATION)
    for queue in build_default_queues(names, LOCATION, declared):
        server.declare_queue(queue)
    assert [f"{LOCATION}/queues/{name}" for name in ("counts", "default")] == [
        queue.name for queue in client.list_queues(parent=LOCATION)
    ]
    counts = queue_named(client, "counts")
    assert (500.0, 100, 100) == (
        counts.rate_limits.max_dispatches_per_second,
        counts.rate_limits.max_burst_size,
        counts.retry_config.max_attempts,
    )
