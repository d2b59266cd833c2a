"""The filter of ListQueues, through the real client."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration
from tasks_support import LOCATION, START, Client, client_of, refusal

from fantasm_gcp.local.tasks import TasksServer

PURGED = datetime.fromtimestamp(START, UTC).isoformat()


@pytest.fixture
def client(server: TasksServer) -> Client:
    """Three queues: mail, which runs; slow, which is paused and was purged; web, with an HTTP target."""
    client = client_of(server)
    header = {"header": {"key": "X-Team", "value": "Blue"}}
    queues = [
        {"name": f"{LOCATION}/queues/mail", "retry_config": {"max_attempts": -1}},
        {
            "name": f"{LOCATION}/queues/slow",
            "rate_limits": {"max_dispatches_per_second": 0.5},
            "retry_config": {"min_backoff": Duration(seconds=2)},
            "app_engine_routing_override": {"service": "worker"},
        },
        {
            "name": f"{LOCATION}/queues/web",
            "http_target": {"http_method": tasks_v2.HttpMethod.PUT, "header_overrides": [header]},
        },
    ]
    for queue in queues:
        client.create_queue(parent=LOCATION, queue=queue)
    client.pause_queue(name=f"{LOCATION}/queues/slow")
    client.purge_queue(name=f"{LOCATION}/queues/slow")
    return client


def listed(client: Client, text: str) -> list[str]:
    queues = client.list_queues(request={"parent": LOCATION, "filter": text})
    return [queue.name.rpartition("/")[2] for queue in queues]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "mail slow web"),
        (" -- all of them", "mail slow web"),
        ("state: PAUSED", "slow"),
        ("state = RUNNING", "mail web"),
        ("state!=paused", "mail web"),
        ('state="PAUSED" -- a comment', "slow"),
        ("name:queues/MAIL", "mail"),
        (f'name = "{LOCATION}/queues/web"', "web"),
        ("rate_limits.max_dispatches_per_second < 1", "slow"),
        ("rateLimits.maxDispatchesPerSecond>=500", "mail web"),
        ("retry_config.max_attempts = -1", "mail"),
        ("retry_config.min_backoff > 0.1s", "slow"),
        (f'purge_time >= "{PURGED}"', "slow"),
        (f'purge_time > "{PURGED}"', ""),
        ("purge_time:*", "slow"),
        ("NOT purge_time:*", "mail web"),
        ("app_engine_routing_override.service=WORKER", "slow"),
        ("app_engine_routing_override.service!=worker", ""),
        ("http_target.header_overrides.header.value:blue", "web"),
        ("httpTarget.httpMethod=PUT", "web"),
        ("state=RUNNING name:mail", "mail"),
        ("state=RUNNING AND -name:mail", "web"),
        ("name:mail OR name:slow AND state=PAUSED", "slow"),
        ("name:mail OR (name:slow AND state=RUNNING)", "mail"),
        ("NOT (name:mail OR name:slow)", "web"),
        (r'name:"we\b"', "web"),
        ('name:"a -- b"', ""),
    ],
)
def test_queues_are_filtered_by_any_field(client: Client, text: str, expected: str) -> None:
    """Every operator and type; a field that is not set compares with nothing, a span is written in JSON's way."""
    assert expected.split() == listed(client, text)


@pytest.mark.parametrize(
    "text",
    [
        "PAUSED",
        "state",
        "state=",
        "state PAUSED",
        "state=STOPPED",
        "size=1",
        "state.name=x",
        "rate_limits=1",
        "rate_limits.max_burst_size=many",
        "purge_time > 0",
        "(state=PAUSED",
        "state=PAUSED)",
        "state=PAUSED OR",
        "AND state=PAUSED",
        'name:"open',
        "=PAUSED",
        "(" * 60,
        "NOT " * 60 + "name:a",
        "-- " + "x" * 20_000,
        "retry_config.min_backoff<=2",
    ],
)
def test_what_is_no_filter_is_refused(client: Client, text: str) -> None:
    """Not ignored: a list that holds more than was asked for would look right."""
    assert refusal(lambda: listed(client, text))[0] == "INVALID_ARGUMENT"


def test_a_filter_shortens_pages_and_loses_nothing(client: Client) -> None:
    """A page may be empty and yet have a next one, as the reference warns."""
    request = {"parent": LOCATION, "page_size": 1, "filter": "name:web"}

    pages = list(client.list_queues(request=request).pages)

    assert [0, 0, 1] == [len(page.queues) for page in pages]
