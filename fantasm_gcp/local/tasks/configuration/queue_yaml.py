"""The queues that are there at the start: those of a queue.yaml, and those that definitions name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.loader import QueueEntry, QueueFile
from fantasm_gcp.local.tasks.messages import PAUSED, Queue
from fantasm_gcp.local.tasks.times import SECOND, fill, micros

QUEUE_YAML_TOMBSTONE: Final = 9 * 86_400.0
"""Seconds for which names of tasks stay taken in queues of a queue.yaml; in others it is a day."""


def build_queues(file: QueueFile, parent: str) -> list[Any]:
    """The Queue messages for a queue.yaml in a location, ``projects/PROJECT/locations/LOCATION``.

    They are for ``declare_queue``: each has its ``bucket_size`` as ``max_burst_size``, which requests cannot
    set, and one with the rate 0 is PAUSED. Of such a queue the rate, once it is resumed, is the default.
    """
    return [_queue(entry, parent) for entry in file.queues]


def name_queues(definitions: Definitions) -> list[str]:
    """The ids of the queues that the machines of definitions send tasks to, each once, sorted."""
    return sorted(set(_named(definitions)))


def build_default_queues(names: Iterable[str], parent: str, declared: Iterable[Any] = ()) -> list[Any]:
    """Queue messages with nothing but their names, for those ``names`` that are not ``declared``."""
    known = {queue.name for queue in declared}
    wanted = (f"{parent}/queues/{name}" for name in names)
    return [Queue(name=name) for name in wanted if name not in known]


def _named(definitions: Definitions) -> Iterator[str]:
    for machine in definitions:
        yield machine.queue
        for state in machine.states:
            yield from (each.queue for each in state.transitions if each.queue is not None)


def _queue(entry: QueueEntry, parent: str) -> Any:
    queue = Queue(name=f"{parent}/queues/{entry.name}")
    limits = queue.rate_limits
    if entry.rate:
        limits.max_dispatches_per_second = entry.rate
    else:
        queue.state = PAUSED
    limits.max_burst_size = entry.bucket_size
    limits.max_concurrent_dispatches = entry.max_concurrent_requests
    retry = queue.retry_config
    retry.max_attempts = -1 if entry.task_retry_limit is None else entry.task_retry_limit + 1
    retry.max_doublings = entry.max_doublings
    fill(retry.min_backoff, micros(entry.min_backoff_seconds))
    fill(retry.max_backoff, micros(entry.max_backoff_seconds))
    if entry.task_age_limit:
        fill(retry.max_retry_duration, entry.task_age_limit * SECOND)
    if entry.service:
        queue.app_engine_routing_override.service = entry.service
        queue.app_engine_routing_override.version = entry.version
    return queue
