"""Which URL an App Engine task goes to, and with which Host."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from tasks_support import LOCATION, QUEUE, app_engine_task, client_of

from fantasm_gcp.local.tasks import Delivery, HttpDelivery, TasksServer, WsgiDelivery
from fantasm_gcp.local.tasks.configuration.service_map import ServiceMap, parse_services

BASES = {
    "default": "http://127.0.0.1:1",
    "worker": "http://127.0.0.1:2/",
    "v2.worker": "http://127.0.0.1:3/under",
    "i1.v2.worker": "http://[::1]:4",
    "v2.default": "https://localhost",
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("default",), "http://127.0.0.1:1"),
        (("",), "http://127.0.0.1:1"),
        (("other",), "http://127.0.0.1:1"),
        (("worker",), "http://127.0.0.1:2"),
        (("worker", "v1"), "http://127.0.0.1:2"),
        (("worker", "v2"), "http://127.0.0.1:3/under"),
        (("worker", "v2", "i2"), "http://127.0.0.1:3/under"),
        (("worker", "v2", "i1"), "http://[::1]:4"),
        (("worker", "", "i1"), "http://127.0.0.1:2"),
        (("default", "v2"), "https://localhost"),
        (("other", "v2"), "http://127.0.0.1:1"),
    ],
)
def test_the_most_exact_key_counts(wanted: tuple[str, ...], expected: str) -> None:
    """Instance, version and service, then less and less of them, then the default service."""
    assert expected == ServiceMap(BASES).find(*wanted)


def test_a_service_without_a_url_is_named() -> None:
    """One URL alone is for all services; a map without a default is not."""
    assert ServiceMap("http://127.0.0.1:1").find("any", "v1") == "http://127.0.0.1:1"
    with pytest.raises(ConnectionError, match="service 'other'"):
        ServiceMap({"worker": "http://127.0.0.1:2"}).find("other", "worker")
    with pytest.raises(ConnectionError, match="service 'default'"):
        ServiceMap({}).find("")


@pytest.mark.parametrize(
    ("key", "base"),
    [
        ("", "http://127.0.0.1:1"),
        ("a.b.c.d", "http://127.0.0.1:1"),
        ("a..b", "http://127.0.0.1:1"),
        ("a_b", "http://127.0.0.1:1"),
        ("a\n", "http://127.0.0.1:1"),
        ("a", ""),
        ("a", "127.0.0.1:1"),
        ("a", "localhost:8080"),
        ("a", "ftp://127.0.0.1"),
        ("a", "http://"),
        ("a", "http://:80"),
        ("a", "http://127.0.0.1:0"),
        ("a", "http://127.0.0.1:x"),
        ("a", "http://127.0.0.1:99999"),
        ("a", "http://[::1"),
        ("a", "http://127.0.0.1/?q"),
        ("a", "http://127.0.0.1/#f"),
        ("a", "http://127.0.0.1/ x"),
        ("a", "http://127.0.0.1/\r\nX: y"),
    ],
)
def test_a_key_or_a_url_that_can_be_none_is_refused_at_once(key: str, base: str) -> None:
    """And not when the first task is delivered."""
    with pytest.raises(ValueError, match=r"is no (service|URL)"):
        ServiceMap({key: base})
    with pytest.raises(ValueError, match=r"is no (service|URL)"):
        HttpDelivery({key: base})


def test_services_are_read_from_options() -> None:
    """A URL alone is the default service's, also one with an equals sign in its path."""
    assert {
        "worker": "http://127.0.0.1:2",
        "v2.worker": "http://127.0.0.1:3/a=b",
        "default": "http://127.0.0.1:1/a=b",
    } == parse_services(
        ["worker=http://127.0.0.1:2/", "v2.worker=http://127.0.0.1:3/a=b", "http://127.0.0.1:1/a=b"]
    )
    for texts in (
        ["a=http://h", "a=http://i"],
        ["http://h", "default=http://i"],
        ["worker="],
        ["worker"],
        [""],
    ):
        with pytest.raises(ValueError, match=r"two URLs|is no"):
            parse_services(texts)


def test_a_task_reaches_the_service_version_and_instance_that_it_names() -> None:
    """The routing of the queue decides over that of the task, and the task over the default."""
    routing = {"service": "worker", "version": "v2", "instance": "i1"}
    server = TasksServer()
    client = client_of(server)
    for kind, queue in (({}, QUEUE), ({"app_engine_routing": routing}, QUEUE)):
        client.create_task(parent=queue, task=app_engine_task(app_engine_http_request=kind))
    override = {"service": "over", "version": "v9"}
    fixed = {"name": f"{LOCATION}/queues/fixed", "app_engine_routing_override": override}
    client.create_queue(parent=LOCATION, queue=fixed)
    client.create_task(
        parent=fixed["name"], task=app_engine_task(app_engine_http_request={"app_engine_routing": routing})
    )
    found = []
    while (attempt := server.lease()) is not None:
        sent = attempt.delivery
        found.append((sent.service, sent.version, sent.instance, sent.host))
    server.close()

    assert [
        ("default", "", "", "demo.appspot.com"),
        ("over", "v9", "", "v9.over.demo.appspot.com"),
        ("worker", "v2", "i1", "i1.v2.worker.demo.appspot.com"),
    ] == sorted(found)


def test_the_host_is_that_of_the_url_over_http_and_of_app_engine_within_the_process() -> None:
    """A server of its own checks its Host against names of this machine; the path of the base is kept."""
    seen: list[tuple[str, str]] = []

    class Worker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.headers["Host"], self.path))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The test's output is not the place for an access log."""

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.append((environ["HTTP_HOST"], environ["PATH_INFO"]))
        start("204 No Content", [])
        return []

    worker = HTTPServer(("127.0.0.1", 0), Worker)
    thread = threading.Thread(target=worker.handle_request)
    thread.start()
    base = f"127.0.0.1:{worker.server_port}"
    delivery = Delivery("t", "POST", "/run", {}, b"", 30.0, "worker", "worker.demo.appspot.com")
    HttpDelivery({"worker": f"http://{base}/under/"})(delivery)
    thread.join()
    worker.server_close()
    WsgiDelivery(app)(delivery)

    assert [(base, "/under/run"), ("worker.demo.appspot.com", "/run")] == seen
