"""How JSON, queries and paths become requests, and responses and refusals become bodies."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import grpc
import pytest
from google.cloud.datastore_v1.types import CommitRequest
from google.cloud.tasks_v2 import types
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from fantasm_gcp.local.http import HttpService, Route, Transcoder
from fantasm_gcp.local.http.statuses import HTTP_STATUS
from fantasm_gcp.local.http.transcoding import fill_from_json
from fantasm_gcp.local.rpc import MAX_MESSAGE_BYTES, LocalChannel, Method, RpcError, Service

CreateTask: Any = types.CreateTaskRequest.pb()
UpdateQueue: Any = types.UpdateQueueRequest.pb()
ListTasks: Any = types.ListTasksRequest.pb()
Task: Any = types.Task.pb()
ROUTES = (
    Route("POST", "/v2/{parent=projects/*/queues/*}/tasks", "Create", "*"),
    Route("PATCH", "/v2/{queue.name=projects/*/queues/*}", "Update", "queue"),
    Route("GET", "/v2/{parent=projects/*/queues/*}/tasks", "List"),
    Route("POST", "/v2/{parent=projects/*}:verb", "Verb", "*"),
)


class Echo:
    """A service that keeps the last request, and answers or raises what it is told to."""

    def __init__(self) -> None:
        self.request: Any = None
        self.answer: Callable[[], Any] = Task
        methods = {"Create": CreateTask, "Update": UpdateQueue, "List": ListTasks, "Verb": CreateTask}
        self.service = Service(
            "echo.Echo", {name: Method(kind, Task, self._keep) for name, kind in methods.items()}
        )
        self.app = Transcoder([HttpService(self.service, ROUTES)])

    def _keep(self, request: Any) -> Any:
        self.request = request
        return self.answer()

    def send(
        self, verb: str, target: str, body: bytes = b"", kind: str = "application/json", **more: Any
    ) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer to a request."""
        path, _, query = target.partition("?")
        environ = {
            "REQUEST_METHOD": verb,
            "REQUEST_URI": target,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
            **more,
        }
        started: list[Any] = []
        content = b"".join(self.app(environ, lambda status, headers: started.extend([status, dict(headers)])))
        assert str(len(content)) == started[1]["Content-Length"]
        return int(started[0][:3]), started[1]["Content-Type"], content

    def refused(self, verb: str, target: str, body: bytes = b"", **more: Any) -> str:
        """The message with which a request is refused as INVALID_ARGUMENT, in Google's form."""
        status, kind, content = self.send(verb, target, body, **more)
        error = json.loads(content)["error"]
        assert (400, "application/json; charset=UTF-8") == (status, kind)
        assert (400, "INVALID_ARGUMENT") == (error["code"], error["status"])
        assert self.request is None
        return str(error["message"])


@pytest.fixture
def echo() -> Echo:
    return Echo()


TASKS = "/v2/projects/p/queues/q/tasks"


def test_names_of_fields_are_camel_case_or_as_in_the_proto(echo: Echo) -> None:
    """Both are JSON of proto3."""
    echo.send(
        "POST",
        TASKS,
        b'{"responseView": "FULL", "task": {"http_request": {"url": "u", "httpMethod": "GET"}}}',
    )

    assert "projects/p/queues/q" == echo.request.parent
    assert (2, "u", 2) == (
        echo.request.response_view,
        echo.request.task.http_request.url,
        echo.request.task.http_request.http_method,
    )


def test_the_path_wins_over_the_body(echo: Echo) -> None:
    """Whatever the body says of a field that the path names."""
    echo.send("POST", TASKS, b'{"parent": "other"}')

    assert "projects/p/queues/q" == echo.request.parent


def test_a_body_may_be_one_field(echo: Echo) -> None:
    """The path fills a field of it, the query the others; a mask is a string of camelCase paths."""
    echo.send(
        "PATCH",
        "/v2/projects/p/queues/q?updateMask=rateLimits.maxBurstSize,state",
        b'{"rateLimits": {"maxBurstSize": 3}}',
    )

    assert "projects/p/queues/q" == echo.request.queue.name
    assert 3 == echo.request.queue.rate_limits.max_burst_size
    assert ["rate_limits.max_burst_size", "state"] == list(echo.request.update_mask.paths)


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
def test_no_body_is_an_empty_one(echo: Echo, body: bytes) -> None:
    """And the field that it is for is there."""
    echo.send("PATCH", "/v2/projects/p/queues/q", body)

    assert echo.request.HasField("queue")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("pageSize=7&response_view=FULL", {"page_size": 7, "response_view": 2}),
        ("responseView=2&pageToken=a%26b%3D+c", {"response_view": 2, "page_token": "a&b= c"}),
        (
            "$alt=json;enum-encoding=int&%24alt=json&key=k&fields=a&prettyPrint=false&$.xgafv=2&pageSize=1",
            {"page_size": 1},
        ),
        ("", {}),
        ("&&", {}),
    ],
)
def test_a_query_fills_fields(echo: Echo, query: str, expected: dict[str, Any]) -> None:
    """Under either name; what all of Google's methods take is no field."""
    assert 200 == echo.send("GET", f"{TASKS}?{query}")[0]
    assert ListTasks(parent="projects/p/queues/q", **expected) == echo.request


def test_a_query_fills_fields_of_fields(echo: Echo) -> None:
    """With dots between the names; booleans, durations and bytes as in JSON."""
    query = "task.http_request.url=u&task.httpRequest.body=AAEC&task.dispatchDeadline=1.5s&task.httpRequest.oidcToken.audience=a"

    assert 200 == echo.send("POST", f"{TASKS}?{query}", b'{"task": {"name": "n"}}')[0]
    task = echo.request.task
    assert ("n", "u", b"\x00\x01\x02", "a") == (
        task.name,
        task.http_request.url,
        task.http_request.body,
        task.http_request.oidc_token.audience,
    )
    assert (1, 500_000_000) == (task.dispatch_deadline.seconds, task.dispatch_deadline.nanos)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("nothing=1", "Unknown name \"nothing\": Cannot bind query parameter. Field 'nothing' could not be found in request message."),
        ("pageSize.a=1", "Cannot bind query parameter."),
        ("pageSize=x", "Invalid value at 'page_size' (TYPE_INT32), \"x\""),
        ("pageSize=1&page_size=2", "there twice"),
        ("pageSize=99999999999", "'page_size' (TYPE_INT32)"),
        ("filter=%ff", "nothing"),
        ("&".join("a=1" for _ in range(1001)), "more than 1000 parameters"),
        ("alt=xml", "'alt'"),
        ("responseView=NONE", "NONE"),
    ],
)  # fmt: skip
def test_a_query_that_fits_no_field_is_refused(echo: Echo, query: str, reason: str) -> None:
    """In Google's words where they are known."""
    if query.startswith("filter"):
        assert "The query is not UTF-8." == echo.refused("GET", f"{TASKS}?pageToken=%ff")
    else:
        assert reason in echo.refused("GET", f"{TASKS}?{query}")


def test_messages_and_maps_are_no_parameters(echo: Echo) -> None:
    """Only what is a string, a number or the like in JSON."""
    for query in (
        "task=1",
        "task.httpRequest=x",
        "task.httpRequest.headers=x",
        "task.httpRequest.headers.a=b",
    ):
        assert "Cannot bind query parameter" in echo.refused("POST", f"{TASKS}?{query}", b"{}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"foo": 1}', 'Invalid JSON payload received. Unknown name "foo": Cannot find field.'),
        (b'{"task": {"httpRequest": {"foo": 1}}}', "Unknown name \"foo\" at 'task.http_request': Cannot find field."),
        (b"[]", "It is no object."),
        (b"null", "It is no object."),
        (b'"a"', "It is no object."),
        (b"{", "Failed to load JSON"),
        (b'{"task": 5}', "task"),
        (b'{"task": {"name": 5}}', "name"),
        (b'{"task": {"name": "\\ud800"}}', "surrogate"),
        (b'{"task": {"scheduleTime": "tomorrow"}}', "scheduleTime"),
        (b'{"responseView": "ALL"}', "ALL"),
        (b'{"parent": "a", "parent": "b"}', "duplicate key"),
        (b'{"task": {"httpRequest": {}, "appEngineHttpRequest": {}}}', "oneof"),
        (b'{"task":' * 3000, ""),
        (b'{"task": {"dispatchCount": ' + b"9" * 5000 + b"}}", ""),
        (b"\xff\xfe{}", "It is not UTF-8."),
        ('{"parent": "a"}'.encode("utf-16"), "It is not UTF-8."),
    ],
)  # fmt: skip
def test_a_body_that_is_no_such_json_is_refused(echo: Echo, body: bytes, reason: str) -> None:
    """With what is wrong, and of limited length."""
    message = echo.refused("POST", TASKS, body)
    assert reason in message
    assert 700 > len(message)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"name": 5}, "'task.name' (TYPE_STRING), 5"),
        ({"httpRequest": {"httpMethod": "FOO"}}, "'task.http_request.http_method' (type.googleapis.com/google.cloud.tasks.v2.HttpMethod), \"FOO\""),
        ({"httpRequest": {"headers": {"a": 1}}}, "'task.http_request.headers[a]' (TYPE_STRING), 1"),
        ({"httpRequest": 5}, "'task.http_request' (type.googleapis.com/google.cloud.tasks.v2.HttpRequest), 5"),
        ({"httpRequest": {"body": 5}}, "'task.http_request.body' (TYPE_BYTES), 5"),
        ({"dispatchCount": "x"}, "'task.dispatch_count' (TYPE_INT32), \"x\""),
        ({"dispatchCount": 1.5}, "'task.dispatch_count' (TYPE_INT32), 1.5"),
        ({"dispatchCount": True}, "'task.dispatch_count' (TYPE_INT32), true"),
        ({"scheduleTime": "+P1D"}, "'task.schedule_time' (type.googleapis.com/google.protobuf.Timestamp), Field 'scheduleTime', Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone offset."),
        ({"dispatch_deadline": "7"}, "'task.dispatch_deadline' (type.googleapis.com/google.protobuf.Duration), Field 'dispatch_deadline', Illegal duration format; duration must end with 's'"),
        ({"name": 5, "view": "ALL"}, "'task.name' (TYPE_STRING), 5\nInvalid value at 'task.view' (type.googleapis.com/google.cloud.tasks.v2.Task.View), \"ALL\""),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_told_in_googles_words(echo: Echo, task: Any, words: str) -> None:
    """Where it is, by the names of the proto, what it should be and what it is; every one of them."""
    said = echo.refused("POST", TASKS, json.dumps({"task": task}).encode())
    assert f"Invalid value at {words}" == said


def test_other_media_types_are_refused(echo: Echo) -> None:
    """A form is what a page of anyone can send."""
    assert "Content-Type" in echo.refused("POST", TASKS, b"a=b", kind="application/x-www-form-urlencoded")
    assert 200 == echo.send("POST", TASKS, b"{}", kind="")[0]
    assert 200 == echo.send("POST", TASKS, b"{}", kind="Application/JSON; charset=utf-8")[0]


def test_binary_protobuf_goes_in_and_out(echo: Echo) -> None:
    """The answer is in the form of the request, unless ``alt`` asks for another."""
    echo.answer = lambda: Task(name="n")
    body = CreateTask(response_view=2).SerializeToString()

    assert (200, "application/x-protobuf", b"\n\x01n") == echo.send(
        "POST", TASKS, body, kind="application/x-protobuf"
    )
    assert CreateTask(parent="projects/p/queues/q", response_view=2) == echo.request
    assert {"name": "n"} == json.loads(
        echo.send("POST", f"{TASKS}?alt=json", body, kind="application/x-protobuf")[2]
    )
    assert b"\n\x01n" == echo.send("POST", f"{TASKS}?%24alt=proto", b"{}")[2]
    status, kind, content = echo.send("POST", TASKS, b"\xff", kind="application/x-protobuf")
    assert (400, "application/x-protobuf") == (status, kind)
    assert 3 == Status.FromString(content).code
    assert 400 == echo.send("PATCH", "/v2/projects/p/queues/q", b"\n\x00", kind="application/x-protobuf")[0]


@pytest.mark.parametrize("alt", ["", "?$alt=json;enum-encoding=int", "?%24alt=json%3Benum-encoding%3Dint"])
def test_enums_are_names_unless_numbers_are_asked_for(echo: Echo, alt: str) -> None:
    """The generated clients ask for numbers."""
    echo.answer = lambda: Task(view=2)

    assert {"view": 2 if alt else "FULL"} == json.loads(echo.send("POST", TASKS + alt, b"{}")[2])


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_every_code_has_its_status(echo: Echo, code: grpc.StatusCode) -> None:
    """As google/rpc/code.proto lists them, in both forms of a body."""

    def refuse() -> Any:
        raise RpcError(code, "because é")

    echo.answer = refuse
    status, _, content = echo.send("POST", TASKS, b"{}")
    assert HTTP_STATUS[code][0] == status
    expected = {"error": {"code": status, "message": "because é", "status": code.name}}
    assert expected == json.loads(content)
    status, kind, content = echo.send("POST", TASKS, b"", kind="application/x-protobuf")
    assert (HTTP_STATUS[code][0], "application/x-protobuf") == (status, kind)
    assert Status(code=code.value[0], message="because é") == Status.FromString(content)


def test_an_unexpected_error_is_logged_and_told_to_nobody(
    echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    """Over HTTP, and in one process."""

    def fail() -> Any:
        raise KeyError("secret")

    echo.answer = fail
    status, _, content = echo.send("POST", TASKS, b"{}")
    assert 500 == status
    assert b"secret" not in content
    assert "secret" in caplog.text
    with pytest.raises(grpc.RpcError) as caught:
        LocalChannel(echo.service).unary_unary("/echo.Echo/Create")(b"")
    assert (grpc.StatusCode.INTERNAL, "Internal error encountered.") == (
        caught.value.code(),
        caught.value.details(),
    )


@pytest.mark.parametrize("text", ["!!", "hello world!", "aGVs*bG8=", "ab=c"])
def test_bytes_that_are_no_base64_are_refused_and_not_mended(echo: Echo, text: str) -> None:
    """As Google refuses them; what is left of a text without its other characters is nobody's body."""
    body = json.dumps({"task": {"httpRequest": {"body": text}}}).encode()

    assert (
        f"Invalid value at 'task.http_request.body' (TYPE_BYTES), Base64 decoding failed for \"{text}\""
        == (echo.refused("POST", "/v2/projects/p/queues/q/tasks", body))
    )


@pytest.mark.parametrize("text", ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n"])
def test_base64_may_be_without_padding_and_in_lines(echo: Echo, text: str) -> None:
    """Of either alphabet, as the JSON mapping has it."""
    body = json.dumps({"task": {"httpRequest": {"body": text}}}).encode()

    assert echo.send("POST", "/v2/projects/p/queues/q/tasks", body)[0] == 200
    assert echo.request.task.http_request.body == b"hello"


def test_bytes_within_lists_and_maps_are_looked_at_too() -> None:
    """With the place where they are."""
    entity = {"properties": {"x": {"arrayValue": {"values": [{"blobValue": "YQ"}, {"blobValue": "*"}]}}}}
    body = json.dumps({"mutations": [{"insert": entity}]}).encode()

    with pytest.raises(RpcError, match=r"mutations\[0\]\.insert\.properties\[x\]\.array_value\.values\[1\]"):
        fill_from_json(CommitRequest.pb()(), body)


def test_in_one_process_bytes_that_do_not_parse_are_refused(echo: Echo) -> None:
    """As over gRPC: too long, no message, no method."""
    channel = LocalChannel(echo.service)
    for name, body, code in (
        ("Create", b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("Create", bytes(MAX_MESSAGE_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("Nothing", b"", grpc.StatusCode.UNIMPLEMENTED),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/echo.Echo/{name}")(body)
        assert code == caught.value.code()
    assert echo.request is None


@pytest.mark.parametrize(
    ("path", "parent"),
    [
        ("/v2/projects/a%20b:c/queues/%C3%A9%3Fx/tasks", "projects/a b:c/queues/é?x"),
        ("/v2/projects/p/queues/a%2Fb/tasks", "projects/p/queues/a%2Fb"),
        ("/v2/projects/p/queues/100%25/tasks", "projects/p/queues/100%"),
        ("/v2/projects/p/queues/../tasks", "projects/p/queues/.."),
        ("/v2/projects/p/queues/q%3Av/tasks", "projects/p/queues/q:v"),
    ],
)
def test_paths_are_decoded_but_for_slashes(echo: Echo, path: str, parent: str) -> None:
    """A variable of several segments keeps an encoded slash encoded."""
    assert 200 == echo.send("GET", path)[0]
    assert parent == echo.request.parent


@pytest.mark.parametrize(
    "path",
    ["/v2/projects/p/queues/%/tasks", "/v2/projects/p/queues/%zz/tasks", "/v2/projects/p/queues/%ff/tasks"],
)
def test_paths_that_encode_nothing_are_refused(echo: Echo, path: str) -> None:
    """INVALID_ARGUMENT."""
    assert "path" in echo.refused("GET", path)


def test_a_verb_is_told_from_a_colon_in_a_name(echo: Echo) -> None:
    """Project ids may have one."""
    assert 200 == echo.send("POST", "/v2/projects/example.com:p:verb", b"{}")[0]
    assert "projects/example.com:p" == echo.request.parent


@pytest.mark.parametrize(
    ("verb", "path"),
    [("GET", "/"), ("GET", "/v2/projects/p/queues//tasks"), ("PUT", TASKS), ("GET", TASKS + "/"), ("POST", "/v2/projects/p:other")],
)  # fmt: skip
def test_what_no_route_is_for_is_not_found(echo: Echo, verb: str, path: str) -> None:
    """Unknown paths, and known ones with another method."""
    status, _, content = echo.send(verb, path)
    assert 404 == status
    assert "NOT_FOUND" == json.loads(content)["error"]["status"]


def test_other_paths_go_to_the_fallback(echo: Echo) -> None:
    """Those of no route at all; it is not asked about known paths."""

    def page(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
        return [b"page"]

    echo.app = Transcoder([HttpService(echo.service, ROUTES)], page)
    assert b"page" == echo.send("GET", "/")[2]
    assert 404 == echo.send("PUT", TASKS)[0]
    assert 200 == echo.send("POST", TASKS, b"{}")[0]


def test_a_server_that_gives_no_raw_path_will_do(echo: Echo) -> None:
    """The path is put together again from what WSGI promises."""
    name = "é x%".encode().decode("latin-1")
    assert 200 == echo.send("GET", "x", PATH_INFO=f"/v2/projects/p/queues/{name}/tasks", REQUEST_URI=None)[0]
    assert "projects/p/queues/é x%" == echo.request.parent


def test_packed_bodies_are_unpacked(echo: Echo) -> None:
    """Also when they consist of several members."""
    packed = gzip.compress(b'{"response') + gzip.compress(b'View": "FULL"}')

    assert 200 == echo.send("POST", TASKS, packed, HTTP_CONTENT_ENCODING="gzip")[0]
    assert 2 == echo.request.response_view


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (b"{}", "gzip"),
        (gzip.compress(b"{}", mtime=0)[:-1], "gzip"),
        (gzip.compress(b"{}", mtime=0) + b"x", "gzip"),
        (zlib.compress(b"{}"), "gzip"),
        (b"{}", "br"),
        (gzip.compress(b"{}", mtime=0), "gzip, gzip"),
    ],
)
def test_bodies_that_are_not_packed_as_they_say_are_refused(echo: Echo, packed: bytes, encoding: str) -> None:
    """Cut off, something else, followed by something else, in an encoding that is not served."""
    assert echo.refused("POST", TASKS, packed, HTTP_CONTENT_ENCODING=encoding)


def test_a_body_that_unpacks_without_end_is_refused_at_the_limit(echo: Echo) -> None:
    """A thousandfold, in one member and in many."""
    bomb = gzip.compress(bytes(MAX_MESSAGE_BYTES))
    for packed in (gzip.compress(bytes(MAX_MESSAGE_BYTES + 1)), bomb + bomb):
        assert 429 == echo.send("POST", TASKS, packed, HTTP_CONTENT_ENCODING="gzip")[0]


def test_a_body_that_is_too_long_is_not_read(echo: Echo) -> None:
    """Its announcement is enough; one that is announced as longer than it is, is refused as well."""
    assert 429 == echo.send("POST", TASKS, b"{}", CONTENT_LENGTH=str(MAX_MESSAGE_BYTES + 1))[0]
    assert "shorter" in echo.refused("POST", TASKS, b"{}", CONTENT_LENGTH="3")
    assert "number" in echo.refused("POST", TASKS, b"{}", CONTENT_LENGTH="-1")


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://[", "http://localhost:9"])
def test_pages_of_other_origins_are_refused(echo: Echo, origin: str) -> None:
    """Whoever can create a task can have any URL of this machine called."""
    assert 403 == echo.send("POST", TASKS, b"{}", HTTP_ORIGIN=origin, HTTP_HOST="localhost:8")[0]
    assert echo.request is None
    assert (
        200 == echo.send("POST", TASKS, b"{}", HTTP_ORIGIN="http://localhost:8", HTTP_HOST="localhost:8")[0]
    )


def test_empty_responses_are_empty_objects() -> None:
    """As Google sends google.protobuf.Empty."""
    service = Service("a.B", {"C": Method(Empty, Empty, lambda request: Empty())})
    echo = Echo()
    echo.app = Transcoder([HttpService(service, (Route("DELETE", "/c", "C"),))])

    assert b"{}\n" == echo.send("DELETE", "/c")[2]
