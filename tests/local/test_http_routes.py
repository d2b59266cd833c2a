"""The official clients over HTTP: every method of both, as over gRPC."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore, tasks_v2
from google.cloud.datastore_v1 import types
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksRestTransport, rest_base
from http_support import Served, both, grpc_channel
from tasks_support import client_over, refusal

from fantasm_gcp.local.datastore.routes import ROUTES as DATASTORE_ROUTES
from fantasm_gcp.local.tasks.routes import LOCATION_ROUTES, OPERATION_ROUTES, ROUTES

LOCATION = "projects/proj/locations/here"
QUEUE = f"{LOCATION}/queues/work"
HTTP_TASK = {"http_request": {"url": "http://worker.example/run", "headers": {"A": "é"}, "body": b"\x00\xff"}}


@pytest.fixture
def opened() -> Iterator[Served]:
    with both() as opened:
        yield opened


@pytest.fixture
def tasks(opened: Served) -> Any:
    """The official client of Cloud Tasks, over REST."""
    transport = CloudTasksRestTransport(
        host=opened.address, url_scheme="http", credentials=AnonymousCredentials()
    )
    with tasks_v2.CloudTasksClient(transport=transport) as client:
        yield client


@pytest.fixture
def client(opened: Served, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The official client of Datastore, over HTTP."""
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", opened.address)
    client = datastore.Client(project="proj", namespace="space", _use_grpc=False)
    yield client
    client._http.close()


def test_every_route_of_the_official_client_is_there() -> None:
    """Its transport's bindings: verb, path and body."""
    known = {(route.verb, route.template, route.body) for route in (*ROUTES, *LOCATION_ROUTES)}
    asked = set()
    for name, rule in vars(rest_base._BaseCloudTasksRestTransport).items():
        if name.startswith("_Base") and name != "_BaseGetOperation":
            for option in rule._get_http_options():
                asked.add((option["method"].upper(), option["uri"], option.get("body", "")))
    assert asked == known
    assert 22 == len(known)


def test_every_method_about_queues_works_over_rest(tasks: Any) -> None:
    """Bodies that are one field, masks, verbs after a colon."""
    queue = tasks.create_queue(parent=LOCATION, queue={"name": QUEUE, "retry_config": {"max_attempts": 3}})
    assert queue == tasks.get_queue(name=QUEUE)
    assert [queue] == list(tasks.list_queues(parent=LOCATION))
    changed = tasks.update_queue(
        queue={
            "name": QUEUE,
            "rate_limits": {"max_dispatches_per_second": 5},
            "retry_config": {"max_attempts": 9},
        },
        update_mask={"paths": ["rate_limits.max_dispatches_per_second"]},
    )
    assert (5, 3) == (changed.rate_limits.max_dispatches_per_second, changed.retry_config.max_attempts)
    assert tasks_v2.Queue.State.PAUSED == tasks.pause_queue(name=QUEUE).state
    assert [] == list(tasks.list_queues(request={"parent": LOCATION, "filter": "state: RUNNING"}))
    assert tasks_v2.Queue.State.RUNNING == tasks.resume_queue(name=QUEUE).state
    assert tasks.purge_queue(name=QUEUE).purge_time
    tasks.delete_queue(name=QUEUE)
    assert ("NOT_FOUND", "Requested entity was not found.") == _refusal(
        lambda: tasks.delete_queue(name=QUEUE)
    )


def test_every_method_about_tasks_works_over_rest(tasks: Any) -> None:
    """Bytes, maps, times and enums pass as they were."""
    created = tasks.create_task(parent=QUEUE, task={**HTTP_TASK, "dispatch_deadline": {"seconds": 20}})
    full = tasks.get_task(request={"name": created.name, "response_view": "FULL"})
    assert (b"\x00\xff", "é") == (full.http_request.body, full.http_request.headers["A"])
    assert 20 == full.dispatch_deadline.seconds
    assert b"" == tasks.get_task(name=created.name).http_request.body
    requests = [{"parent": QUEUE, "task": HTTP_TASK} for _ in range(5)]
    batch = tasks.batch_create_tasks(request={"parent": QUEUE, "requests": requests}).result()
    pages = list(tasks.list_tasks(request={"parent": QUEUE, "page_size": 2}).pages)
    assert [2, 2, 2] == [len(page.tasks) for page in pages]
    assert 1 == tasks.run_task(name=created.name).dispatch_count
    names = [task.name for task in batch.tasks]
    tasks.batch_delete_tasks(request={"parent": QUEUE, "names": names}).result()
    tasks.delete_task(name=created.name)
    assert [] == list(tasks.list_tasks(parent=QUEUE))


def test_what_is_not_implemented_says_so_over_rest(tasks: Any) -> None:
    """IAM policies and encryption keys."""
    for call in (
        lambda: tasks.get_iam_policy(request={"resource": QUEUE}),
        lambda: tasks.set_iam_policy(request={"resource": QUEUE}),
        lambda: tasks.test_iam_permissions(request={"resource": QUEUE, "permissions": ["a"]}),
        lambda: tasks.get_cmek_config(name=f"{LOCATION}/cmekConfig"),
        lambda: tasks.update_cmek_config(cmek_config={"name": f"{LOCATION}/cmekConfig"}),
    ):
        with pytest.raises(exceptions.MethodNotImplemented):
            call()


def test_locations_are_those_of_queues_and_any_that_is_asked_for(opened: Served, tasks: Any) -> None:
    """Over REST and over gRPC; in pages."""
    for region in ("b", "a", "c"):
        name = f"projects/proj/locations/{region}"
        tasks.create_queue(parent=name, queue={"name": f"{name}/queues/q"})
    first = tasks.list_locations({"name": "projects/proj", "page_size": 2})
    rest = tasks.list_locations({"name": "projects/proj", "page_token": first.next_page_token})
    assert ["a", "b", "c"] == [each.location_id for each in (*first.locations, *rest.locations)]
    assert "" == rest.next_page_token
    assert "elsewhere" == tasks.get_location({"name": "projects/proj/locations/elsewhere"}).location_id
    with grpc_channel(opened) as channel:
        wired = client_over(channel)
        assert 3 == len(wired.list_locations({"name": "projects/proj"}).locations)
        assert "INVALID_ARGUMENT" == refusal(lambda: wired.list_locations({"name": "proj"}))[0]
        assert "INVALID_ARGUMENT" == refusal(lambda: wired.get_location({"name": "here"}))[0]


def test_a_refusal_has_the_same_details_over_rest(tasks: Any) -> None:
    """In the form that JSON has for a message of any type."""
    with pytest.raises(exceptions.BadRequest) as caught:
        tasks.get_task(name=f"{QUEUE}/tasks/not a valid id")
    [detail] = caught.value.details
    descriptions = [link["description"] for link in detail["links"]]
    assert ("type.googleapis.com/google.rpc.Help", ["Definition of task ID"]) == (
        detail["@type"],
        descriptions,
    )


def test_the_operation_of_a_batch_is_there_to_be_looked_at(opened: Served, tasks: Any) -> None:
    """By its name, over REST and over gRPC, until a reset; another one is not."""
    requests = [{"parent": QUEUE, "task": {"http_request": {"url": "http://worker.example/"}}}]
    made = tasks.batch_create_tasks(request={"parent": QUEUE, "requests": requests}).operation
    with grpc_channel(opened) as channel:
        wired = client_over(channel)
        for client in (tasks, wired):
            assert made == client.get_operation({"name": made.name})
        assert "NOT_FOUND" == refusal(lambda: wired.get_operation({"name": f"{made.name}0"}))[0]
        opened.tasks.reset()
        assert "NOT_FOUND" == refusal(lambda: wired.get_operation({"name": made.name}))[0]


def test_a_refusal_has_the_same_words_over_rest(tasks: Any) -> None:
    """And the exception that users catch."""
    task = {"name": f"{QUEUE}/tasks/a", **HTTP_TASK}
    tasks.create_task(parent=QUEUE, task=task)

    with pytest.raises(exceptions.Conflict, match="Requested entity already exists"):
        tasks.create_task(parent=QUEUE, task=task)
    with pytest.raises(exceptions.BadRequest, match=r"HttpRequest\.url is required"):
        tasks.create_task(parent=QUEUE, task={"http_request": {}})


def test_every_method_of_datastore_works_over_http(client: Any) -> None:
    """Binary protobuf, as the client sends it where gRPC is turned off."""
    key = client.key("K", "a")
    entity = datastore.Entity(key, exclude_from_indexes=("blob",))
    entity.update(number=1, text="é", blob=b"\x00" * 2000, many=[1, "x", None])
    client.put(entity)
    assert entity == client.get(key)
    assert [entity] == list(client.query(kind="K", order=["number"]).fetch())
    assert 1 == next(iter(client.aggregation_query(client.query(kind="K")).count().fetch()))[0].value
    with client.transaction() as transaction:
        again = client.get(key)
        again["number"] = 2
        transaction.put(again)
    assert 2 == client.get(key)["number"]
    with client.transaction() as transaction:
        transaction.rollback()
    assert 3 == len({each.id for each in client.allocate_ids(client.key("K"), 3)})
    client.reserve_ids_multi([client.key("K", 77)])
    client.delete(key)
    assert client.get(key) is None


def test_refusals_of_datastore_come_as_protobuf(client: Any) -> None:
    """The client finds the message in a google.rpc.Status."""
    with pytest.raises(exceptions.BadRequest, match="reserved"):
        client.put(datastore.Entity(client.key("__reserved__", "a")))
    request = {
        "project_id": "proj",
        "mode": "NON_TRANSACTIONAL",
        "mutations": [{"insert": {"key": {"path": [{"kind": "K", "name": "a"}]}}}],
    }
    client._datastore_api.commit(request=request)
    with pytest.raises(exceptions.Conflict):
        client._datastore_api.commit(request=request)


def test_datastore_speaks_json_to_clients_that_do(opened: Served) -> None:
    """Every method of the API as JSON, its body packed or not; numbers of 64 bits are strings."""
    key = {"partitionId": {"projectId": "proj"}, "path": [{"kind": "K", "name": "a"}]}
    entity = {"key": key, "properties": {"n": {"integerValue": "9007199254740993"}, "x": {"nullValue": None}}}

    def post(method: str, body: Any) -> Any:
        answer = opened.send("POST", f"/v1/projects/proj:{method}", body)
        assert 200 == answer.status, answer.body
        return answer.json

    transaction = post("beginTransaction", {})["transaction"]
    commit = {"mode": "TRANSACTIONAL", "transaction": transaction, "mutations": [{"insert": entity}]}
    assert "mutationResults" in post("commit", commit)
    found = post("lookup", {"keys": [key]})["found"][0]["entity"]
    assert {"n": {"integerValue": "9007199254740993"}, "x": {"nullValue": None}} == found["properties"]
    query = {"kind": [{"name": "K"}], "limit": 1}
    batch = post("runQuery", {"query": query, "partitionId": {"projectId": "proj"}})["batch"]
    assert "FULL" == batch["entityResultType"]
    count = {"nestedQuery": query, "aggregations": [{"alias": "c", "count": {}}]}
    counted = post("runAggregationQuery", {"aggregationQuery": count})
    assert {"c": {"integerValue": "1"}} == counted["batch"]["aggregationResults"][0]["aggregateProperties"]
    post("rollback", {"transaction": post("beginTransaction", {})["transaction"]})
    open_key = {**key, "path": [{"kind": "K"}]}
    allocated = post("allocateIds", {"keys": [open_key]})["keys"]
    assert {} == post("reserveIds", {"keys": allocated})
    packed = gzip.compress(b'{"keys": []}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert 200 == opened.send("POST", "/v1/projects/proj:lookup", packed, headers).status


def test_every_method_of_datastore_has_a_route(opened: Served) -> None:
    """And no route leads nowhere."""
    assert set(opened.datastore.service.methods) == {route.method for route in DATASTORE_ROUTES}
    assert set(opened.tasks.service.methods) == {route.method for route in ROUTES}
    assert set(opened.tasks.locations.methods) == {route.method for route in LOCATION_ROUTES}
    assert set(opened.tasks.operations.methods) == {route.method for route in OPERATION_ROUTES}


def test_the_project_of_the_path_counts(opened: Served) -> None:
    """Not that of the body."""
    request = types.LookupRequest(project_id="other")
    request.keys.append(types.Key(partition_id={"project_id": "proj"}, path=[{"kind": "K", "name": "a"}]))
    headers = {"Content-Type": "application/x-protobuf"}
    answer = opened.send("POST", "/v1/projects/proj:lookup", types.LookupRequest.serialize(request), headers)
    assert 200 == answer.status
    assert 1 == len(types.LookupResponse.deserialize(answer.body).missing)


def _refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        call()
    body = caught.value.response.json()["error"]
    return body["status"], body["message"]
