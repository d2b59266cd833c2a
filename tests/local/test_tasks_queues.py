"""The queue methods, through the real client."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from tasks_support import (
    LOCATION,
    QUEUE,
    Client,
    Clock,
    app_engine_task,
    client_of,
    http_task,
    refusal,
    task_name,
)

from fantasm_gcp.local.tasks import TasksServer

MISSING = (
    "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
)
State = tasks_v2.Queue.State


@pytest.fixture
def server(clock: Clock) -> Iterator[TasksServer]:
    server = TasksServer(clock=clock, create_queues=False)
    yield server
    server.close()


def create(client: Client, name: str = QUEUE, **fields: Any) -> Any:
    return client.create_queue(parent=LOCATION, queue={"name": name, **fields})


def test_a_queue_that_is_told_nothing_gets_the_defaults(client: Client) -> None:
    """500 per second, burst 100, concurrency 1000, 100 attempts, 0.1 s to 3600 s, 16 doublings."""
    queue = create(client)

    limits, retry = queue.rate_limits, queue.retry_config
    assert (queue.state, queue.name) == (State.RUNNING, QUEUE)
    assert (
        limits.max_dispatches_per_second,
        limits.max_burst_size,
        limits.max_concurrent_dispatches,
    ) == (500, 100, 1000)
    assert (retry.max_attempts, retry.max_doublings) == (100, 16)
    assert (retry.min_backoff.total_seconds(), retry.max_backoff.total_seconds()) == (0.1, 3600)
    assert queue == client.get_queue(name=QUEUE)


def test_the_defaults_of_the_limits_can_be_raised_beyond_the_api(clock: Clock) -> None:
    """A local server need not be held to 500 per second."""
    server = TasksServer(clock=clock, max_dispatches_per_second=1e9, max_concurrent_dispatches=100_000)
    client = client_of(server)
    client.create_task(parent=QUEUE, task=http_task())

    limits = client.get_queue(name=QUEUE).rate_limits

    assert (limits.max_dispatches_per_second, limits.max_concurrent_dispatches) == (1e9, 100_000)
    server.close()


@pytest.mark.parametrize("wrong", [{"max_dispatches_per_second": 0.0}, {"max_concurrent_dispatches": -1}])
def test_impossible_defaults_are_refused(wrong: dict[str, Any]) -> None:
    """A server whose queues could never dispatch is a mistake of its caller."""
    with pytest.raises(ValueError, match="positive and finite"):
        TasksServer(**wrong)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"rate_limits": {"max_dispatches_per_second": 500.5}},
            "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.",
        ),
        (
            {"rate_limits": {"max_dispatches_per_second": float("nan")}},
            "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.",
        ),
        (
            {"rate_limits": {"max_dispatches_per_second": -0.1}},
            "RateLimits.maxDispatchesPerSecond cannot be negative.",
        ),
        (
            {"rate_limits": {"max_concurrent_dispatches": 5001}},
            "RateLimits.maxConcurrentDispatches must be less than or equal to 5000.",
        ),
        (
            {"rate_limits": {"max_concurrent_dispatches": -1}},
            "RateLimits.maxConcurrentDispatches cannot be negative.",
        ),
        ({"retry_config": {"max_attempts": -2}}, "RetryConfig.maxAttempts must be greater or equal to -1."),
        ({"retry_config": {"max_doublings": -1}}, "RetryConfig.maxDoublings cannot be negative."),
        (
            {"retry_config": {"min_backoff": Duration(seconds=-1)}},
            "RetryConfig.minBackoff cannot be negative.",
        ),
        (
            {"retry_config": {"min_backoff": Duration(seconds=11), "max_backoff": Duration(seconds=10)}},
            "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.",
        ),
    ],
)
def test_limits_that_are_wrong_are_refused(client: Client, fields: dict[str, Any], message: str) -> None:
    """The words are those of the real service, for creation and for update."""
    create(client, f"{LOCATION}/queues/other")

    assert ("INVALID_ARGUMENT", message) == refusal(lambda: create(client, **fields))
    updated = {"name": f"{LOCATION}/queues/other", **fields}
    assert ("INVALID_ARGUMENT", message) == refusal(lambda: client.update_queue(queue=updated))


@pytest.mark.parametrize(
    "limits",
    [
        {"max_dispatches_per_second": 500, "max_concurrent_dispatches": 5000},
        {"max_burst_size": -7},
    ],
)
def test_limits_at_their_bounds_are_taken(client: Client, limits: dict[str, Any]) -> None:
    """A burst size is output only: even a negative one is ignored, not refused."""
    assert create(client, rate_limits=limits).rate_limits.max_burst_size == 100


@pytest.mark.parametrize(
    "name",
    [
        "work",
        f"{QUEUE}/",
        f"{QUEUE}\n",
        f"{LOCATION}/queues/under_score",
        f"{LOCATION}/queues/{'q' * 101}",
        "",
    ],
)
def test_a_name_that_is_no_queues_name_is_refused(client: Client, name: str) -> None:
    """Letters, digits and hyphens, 100 at most."""
    message = (
        'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".'
    )

    assert ("INVALID_ARGUMENT", message) == refusal(lambda: create(client, name))


def test_a_queue_under_another_parent_is_refused(client: Client) -> None:
    """The parent of the request is the location of the queue."""
    name = "projects/demo/locations/there/queues/work"

    assert ("INVALID_ARGUMENT", f"{name} must begin with {LOCATION}.") == refusal(
        lambda: create(client, name)
    )


def test_a_second_queue_of_one_name_is_refused(client: Client) -> None:
    """Names are unique."""
    create(client)

    assert refusal(lambda: create(client)) == ("ALREADY_EXISTS", "Queue already exists")


def test_a_deleted_queue_keeps_its_name_taken_for_a_week(client: Client, clock: Clock) -> None:
    """Until then neither creation nor update brings it back; afterwards it is new and empty."""
    create(client)
    client.create_task(parent=QUEUE, task=http_task("one"))
    client.delete_queue(name=QUEUE)
    too_recent = (
        "FAILED_PRECONDITION",
        "The queue cannot be created because a queue with this name existed too recently.",
    )

    clock.advance(7 * 86_400 - 1)
    assert too_recent == refusal(lambda: create(client))
    assert too_recent == refusal(lambda: client.update_queue(queue={"name": QUEUE}))
    assert refusal(lambda: client.get_queue(name=QUEUE)) == ("NOT_FOUND", MISSING)
    clock.advance(1)
    create(client)

    assert list(client.list_tasks(parent=QUEUE)) == []


def test_a_missing_queue_is_not_found(client: Client) -> None:
    """Every method says so in the same words, deletion in others."""
    methods = [client.get_queue, client.pause_queue, client.resume_queue, client.purge_queue]

    assert [refusal(partial(method, name=QUEUE)) for method in methods] == [("NOT_FOUND", MISSING)] * 4
    assert refusal(lambda: client.create_task(parent=QUEUE, task=http_task())) == ("NOT_FOUND", MISSING)
    assert refusal(lambda: list(client.list_tasks(parent=QUEUE))) == ("NOT_FOUND", MISSING)
    assert refusal(lambda: client.get_task(name=task_name("one"))) == ("NOT_FOUND", MISSING)
    assert refusal(lambda: client.delete_queue(name=QUEUE)) == (
        "NOT_FOUND",
        "Requested entity was not found.",
    )


def test_an_update_changes_what_the_mask_names(client: Client) -> None:
    """Other fields of the request are left alone, and so is the state."""
    create(client, rate_limits={"max_dispatches_per_second": 50}, retry_config={"max_attempts": 7})
    client.pause_queue(name=QUEUE)

    updated = client.update_queue(
        queue={
            "name": QUEUE,
            "rate_limits": {"max_dispatches_per_second": 100, "max_concurrent_dispatches": 3},
            "retry_config": {"max_attempts": 9},
            "state": State.RUNNING,
        },
        update_mask=FieldMask(paths=["rate_limits.max_dispatches_per_second", "state"]),
    )

    assert (
        updated.rate_limits.max_dispatches_per_second,
        updated.rate_limits.max_concurrent_dispatches,
        updated.retry_config.max_attempts,
    ) == (100, 1000, 7)
    assert (updated.state, updated.rate_limits.max_burst_size) == (State.PAUSED, 20)
    assert updated == client.get_queue(name=QUEUE)


def test_an_update_does_not_forget_the_last_purge(client: Client, clock: Clock) -> None:
    """The time of it is output only."""
    create(client)
    client.purge_queue(name=QUEUE)
    purged = clock.now
    clock.advance(10)

    assert purged == client.update_queue(queue={"name": QUEUE}).purge_time.timestamp()


def test_an_update_without_a_mask_changes_everything(client: Client) -> None:
    """What the request leaves out goes back to its default."""
    create(client, rate_limits={"max_dispatches_per_second": 50})

    updated = client.update_queue(queue={"name": QUEUE, "retry_config": {"max_attempts": 9}})

    assert (updated.rate_limits.max_dispatches_per_second, updated.retry_config.max_attempts) == (500, 9)


def test_an_update_that_turns_the_backoffs_around_is_refused(client: Client) -> None:
    """The fields are checked together with those already stored, and nothing is changed."""
    before = create(
        client, retry_config={"min_backoff": Duration(seconds=20), "max_backoff": Duration(seconds=30)}
    )
    queue = {"name": QUEUE, "retry_config": {"max_backoff": Duration(seconds=10)}}
    mask = FieldMask(paths=["retry_config.max_backoff"])

    code, _ = refusal(lambda: client.update_queue(queue=queue, update_mask=mask))

    assert code == "INVALID_ARGUMENT"
    assert before == client.get_queue(name=QUEUE)


def test_an_update_of_a_field_there_is_not_is_refused(client: Client) -> None:
    """A mistyped path must not look like an update that was made."""
    create(client)
    mask = FieldMask(paths=["rate_limits.max_dispatch"])

    code, _ = refusal(lambda: client.update_queue(queue={"name": QUEUE}, update_mask=mask))

    assert code == "INVALID_ARGUMENT"


def test_an_update_creates_a_queue_that_is_missing(client: Client) -> None:
    """Provisioning can be repeated."""
    client.update_queue(queue={"name": QUEUE, "rate_limits": {"max_dispatches_per_second": 5}})

    assert client.get_queue(name=QUEUE).rate_limits.max_dispatches_per_second == 5


def test_a_paused_queue_takes_tasks_and_dispatches_none(client: Client, server: TasksServer) -> None:
    """Resuming it lets them go."""
    create(client)
    assert client.pause_queue(name=QUEUE).state == State.PAUSED
    client.create_task(parent=QUEUE, task=http_task("one"))

    assert (server.next_time(), server.due(), server.lease()) == (None, [], None)
    assert server.lease(task_name("one")) is None
    assert client.resume_queue(name=QUEUE).state == State.RUNNING
    assert [task_name("one")] == server.due()


def test_a_purge_deletes_all_tasks_and_keeps_their_names_taken(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Tasks in flight go too, and the end of their attempts changes nothing."""
    create(client)
    for task_id in ("one", "two"):
        client.create_task(parent=QUEUE, task=http_task(task_id))
    attempt = server.lease()
    assert attempt is not None

    assert clock.now == server.next_time()

    assert clock.now == client.purge_queue(name=QUEUE).purge_time.timestamp()

    assert server.next_time() is None
    assert list(client.list_tasks(parent=QUEUE)) == []
    assert server.finish(attempt, None).result == "ignored"
    assert refusal(lambda: client.create_task(parent=QUEUE, task=http_task("two")))[0] == "ALREADY_EXISTS"
    assert client.get_queue(name=QUEUE).purge_time is not None


def test_queues_are_listed_page_by_page(client: Client) -> None:
    """Each queue of the location once, by name, and none of another."""
    names = [f"{LOCATION}/queues/q{n:02}" for n in range(7)]
    for name in reversed(names):
        create(client, name)
    client.create_queue(parent=f"{LOCATION}2", queue={"name": f"{LOCATION}2/queues/q"})

    pages = list(client.list_queues(request={"parent": LOCATION, "page_size": 3}).pages)

    assert [names[:3], names[3:6], names[6:]] == [[queue.name for queue in page.queues] for page in pages]


def test_a_page_that_ends_with_the_last_queue_has_no_next(client: Client) -> None:
    """The end is known at once, without an empty page."""
    for n in range(3):
        create(client, f"{LOCATION}/queues/q{n}")

    pages = list(client.list_queues(request={"parent": LOCATION, "page_size": 3}).pages)

    assert [page.next_page_token for page in pages] == [""]


@pytest.mark.parametrize(
    ("rate", "burst"), [(0.25, 10), (1, 10), (5, 10), (50, 10), (51, 10), (100, 20), (500, 100)]
)
def test_the_burst_goes_with_the_rate(client: Client, rate: float, burst: int) -> None:
    """As queues of the real service show it for the rates 0.25, 1, 5 and 500."""
    limits = create(client, rate_limits={"max_dispatches_per_second": rate}).rate_limits

    assert burst == limits.max_burst_size


def test_a_bad_page_request_is_refused(client: Client) -> None:
    """Negative sizes, tokens that are no tokens, and tokens of another request."""
    create(client)
    for n in range(2):
        client.create_task(parent=QUEUE, task=http_task(f"t{n}"))
    token = client.list_tasks(request={"parent": QUEUE, "page_size": 1}).next_page_token

    def code(method: Any, **fields: Any) -> str:
        return refusal(lambda: method(request=fields))[0]

    wrong = [
        code(client.list_queues, parent=LOCATION, page_size=-1),
        code(client.list_queues, parent=LOCATION, page_token="no token"),
        code(client.list_queues, parent=LOCATION, page_token=token),
        code(client.list_queues, parent="projects/demo"),
        code(client.list_tasks, parent=QUEUE, page_size=-1),
        code(client.list_tasks, parent=QUEUE, page_token="é"),
        code(client.list_tasks, parent=f"{QUEUE}2", page_token=token),
        code(client.list_tasks, parent=QUEUE, page_token=f"{token}{token}"),
    ]

    assert wrong == ["INVALID_ARGUMENT"] * 8


def test_a_page_token_is_for_one_filter_and_two_hours(client: Client, clock: Clock) -> None:
    """It is an error to switch the filter while iterating, and to come back too late."""
    for n in range(3):
        create(client, f"{LOCATION}/queues/q{n}")
    running = {"parent": LOCATION, "page_size": 1, "filter": "state=RUNNING"}
    token = client.list_queues(request=running).next_page_token
    refused = [{**running, "filter": "state=PAUSED"}, {**running, "filter": ""}]

    codes = [
        refusal(partial(client.list_queues, request={**asked, "page_token": token}))[0] for asked in refused
    ]
    clock.advance(7200)
    [second] = client.list_queues(request={**running, "page_token": token}).queues[:1]
    clock.advance(0.001)

    assert (["INVALID_ARGUMENT"] * 2, f"{LOCATION}/queues/q1") == (codes, second.name)
    late = refusal(lambda: client.list_queues(request={**running, "page_token": token}))
    assert late[0] == "INVALID_ARGUMENT"


def test_a_routing_override_decides_over_the_tasks_own(client: Client, server: TasksServer) -> None:
    """All App Engine tasks of the queue go to its service."""
    create(client, app_engine_routing_override={"service": "worker", "version": "v2"})
    routing = {"relative_uri": "/run", "app_engine_routing": {"service": "other"}}
    client.create_task(parent=QUEUE, task=app_engine_task("one", app_engine_http_request=routing))

    attempt = server.lease()

    assert attempt is not None
    assert (attempt.delivery.service, attempt.delivery.host) == ("worker", "v2.worker.demo.appspot.com")


def test_what_is_not_carried_out_is_not_accepted(client: Client) -> None:
    """IAM policies are UNIMPLEMENTED."""
    assert refusal(lambda: client.get_iam_policy(request={"resource": QUEUE}))[0] == "UNIMPLEMENTED"
    assert (
        refusal(lambda: client.test_iam_permissions(resource=QUEUE, permissions=["a"]))[0] == "UNIMPLEMENTED"
    )
