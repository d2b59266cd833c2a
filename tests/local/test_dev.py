"""The parts of `fantasm dev`: servers on one directory, where deliveries go, pages, gcloud's emulator."""

import json
import os
import socket
import stat
import sys
import threading
import urllib.error
import urllib.request

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from fantasm_gcp.local.dev.configuration import StartQueues
from fantasm_gcp.local.dev.gcloud import GcloudDatastore
from fantasm_gcp.local.dev.opening import OpenError
from fantasm_gcp.local.dev.pages import Pages, bind
from fantasm_gcp.local.dev.routing import Routing
from fantasm_gcp.local.dev.servers import LocalServers
from fantasm_gcp.local.tasks import Delivery, Response
from fantasm_gcp.local.tasks.configuration.service_map import ServiceMap

HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
QUEUE = "projects/demo/locations/here/queues/work"


def listens(address):
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except ConnectionRefusedError:
        return False


def add_task(host, url="/run"):
    with grpc.insecure_channel(host) as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        return client.create_task(parent=QUEUE, task={"app_engine_http_request": {"relative_uri": url}}).name


def test_both_servers_listen_until_they_are_closed(tmp_path):
    """Each at an address of its own, and only at this machine."""
    with LocalServers(tmp_path) as servers:
        addresses = {servers.datastore_host, servers.tasks_host}
        assert 2 == len(addresses)
        assert all(each.startswith("127.0.0.1:") and listens(each) for each in addresses)
    assert not any(listens(each) for each in addresses)


def test_closing_twice_is_closing_once(tmp_path):
    """And the directory can be opened again."""
    servers = LocalServers(tmp_path)
    servers.close()
    servers.close()
    LocalServers(tmp_path).close()


def test_what_is_not_asked_for_is_not_opened(tmp_path):
    """No file and no address for a server that is elsewhere."""
    with LocalServers(tmp_path, datastore=False) as servers:
        assert "" == servers.datastore_host
        assert not (tmp_path / "datastore.sqlite").exists()


def test_queues_that_definitions_name_keep_what_they_were_told_and_outlive_a_reset(tmp_path):
    """Over a restart too: declared again, they are as they were, and after a reset there again."""
    named = StartQueues(named=[tasks_v2.types.Queue.pb()(name=QUEUE)])
    with LocalServers(tmp_path) as servers, grpc.insecure_channel(servers.tasks_host) as channel:
        servers.declare(named)
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        client.update_queue(queue={"name": QUEUE, "rate_limits": {"max_dispatches_per_second": 7}})
    with LocalServers(tmp_path) as servers, grpc.insecure_channel(servers.tasks_host) as channel:
        servers.declare(named)
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        for _ in range(2):
            assert 7 == client.get_queue(name=QUEUE).rate_limits.max_dispatches_per_second
            url = f"http://{servers.tasks_host}/api/reset"
            request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"}, method="POST")
            HTTP.open(request, timeout=30).close()


def test_memory_leaves_no_file(tmp_path, monkeypatch):
    """Not even where the process stands."""
    monkeypatch.chdir(tmp_path)
    with LocalServers(None) as servers:
        add_task(servers.tasks_host)
    assert [] == list(tmp_path.iterdir())


def test_a_directory_belongs_to_one_at_a_time(tmp_path):
    """The second is told what to do, and leaves the first alone."""
    with LocalServers(tmp_path) as first:
        with pytest.raises(OpenError, match=r"another fantasm dev or fantasm emulator: stop that one, or"):
            LocalServers(tmp_path)
        assert listens(first.datastore_host)


def test_a_start_that_fails_leaves_nothing_open(tmp_path):
    """The Datastore server was open already when the tasks could not be."""
    (tmp_path / "tasks.sqlite").write_bytes(b"something else\n" * 100)
    with pytest.raises(OpenError, match=r"tasks\.sqlite cannot be used: "):
        LocalServers(tmp_path)
    (tmp_path / "tasks.sqlite").unlink()
    LocalServers(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    """A file stands where it should be."""
    (tmp_path / "file").touch()
    with pytest.raises(OpenError, match=r"the data directory .*/file/data cannot be used: Not a directory"):
        LocalServers(tmp_path / "file" / "data")


def test_a_person_s_own_gitignore_is_kept(tmp_path):
    """It is written only where there is none."""
    (tmp_path / ".gitignore").write_text("mine\n")
    LocalServers(tmp_path).close()
    assert "mine\n" == (tmp_path / ".gitignore").read_text()


def test_a_delivery_in_flight_is_waited_for_only_so_long(tmp_path):
    """What did not end is counted, and delivered again when the directory is next opened."""
    begun, release = threading.Event(), threading.Event()

    def hang(_):
        begun.set()
        release.wait(60)
        return Response(200)

    with LocalServers(tmp_path) as servers:
        name = add_task(servers.tasks_host)
        servers.dispatch(hang, threads=1)
        assert begun.wait(60)
        assert 1 == servers.stop_dispatching(0.01)
    release.set()
    again = threading.Event()
    delivered = []

    def deliver(delivery):
        delivered.append(delivery.task)
        again.set()
        return Response(200)

    with LocalServers(tmp_path) as servers:
        servers.dispatch(deliver, threads=1)
        assert again.wait(60)
        assert 0 == servers.stop_dispatching(60)
    assert [name] == delivered


def test_stopping_what_never_dispatched_is_nothing(tmp_path):
    """A process may end before it began to deliver."""
    with LocalServers(tmp_path) as servers:
        assert 0 == servers.stop_dispatching(0)


@pytest.mark.parametrize(
    ("url", "service", "expected"),
    [
        ("/run", "default", "inside"),
        ("/run", "other", "inside"),
        ("/run", "worker", "outside"),
        ("http://127.0.0.1:8080/run", None, "inside"),
        ("http://localhost:8080/run?x=1", None, "inside"),
        ("https://127.0.0.1:8080/run", None, "outside"),
        ("http://127.0.0.1/run", None, "outside"),
        ("http://127.0.0.1:8081/run", None, "outside"),
        ("http://example.com:8080/run", None, "outside"),
        ("http://127.0.0.1:99999/run", None, "outside"),
        ("http://127.0.0.1:x/run", None, "outside"),
    ],
)
def test_only_what_is_for_this_application_stays_inside(url, service, expected):
    """Tasks that an application sends elsewhere reach their server."""
    went = []
    routing = Routing(
        "127.0.0.1:8080",
        ServiceMap({"default": "http://127.0.0.1:8080", "worker": "http://127.0.0.1:8081"}),
        lambda _: went.append("inside") or Response(200),
        lambda _: went.append("outside") or Response(200),
    )
    routing(Delivery("t", "GET", url, {}, b"", 10.0, service))
    assert [expected] == went


def hello(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise ValueError("broken")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_pages_are_served_until_they_are_closed():
    """A request that came before anybody served is answered as well."""
    with bind(0) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as early:
            early.sendall(b"GET / HTTP/1.0\r\n\r\n")
            pages = Pages(hello, listening)
            answer = b""
            while chunk := early.recv(4096):
                answer += chunk
        assert b"hello" in answer
        assert f"http://127.0.0.1:{port}" == pages.url
        with HTTP.open(pages.url, timeout=30) as response:
            assert b"hello" == response.read()
        pages.close()
        pages.close()
    assert not listens(f"127.0.0.1:{port}")


def test_a_request_that_breaks_the_application_is_500(caplog):
    """And the next one is served."""
    with bind(0) as listening:
        pages = Pages(hello, listening)
        with pytest.raises(urllib.error.HTTPError, match="500") as caught:
            HTTP.open(f"{pages.url}/broken", timeout=30)
        caught.value.close()
        with HTTP.open(pages.url, timeout=30) as response:
            assert 200 == response.status
        pages.close()
    assert "fantasm_gcp.local.pages" in {each.name for each in caplog.records}


def test_a_taken_port_is_named():
    """With the option that chooses another."""
    with bind(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OpenError, match=rf"^port {port} of 127\.0\.0\.1 is in use: .* --port$"):
            bind(port)


FAKE = """#!{python}
import http.server, json, os, sys, threading
if "{behaviour}" == "refuse":
    print("some talk")
    print("ERROR: (gcloud.beta.emulators) no such component")
    print("more talk")
    sys.exit(1)
host, port = next(each for each in sys.argv if each.startswith("--host-port=")).partition("=")[2].split(":")
with open("{record}", "w") as file:
    json.dump([os.getpid(), os.getpgid(0), sys.argv[1:]], file)

class Emulator(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.send_response(404 if "{behaviour}" == "deaf" else 200)
        self.end_headers()
        if self.path == "/shutdown" and "{behaviour}" != "stubborn":
            threading.Thread(target=server.shutdown).start()
    do_GET = do_POST = answer
    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer((host, int(port)), Emulator)
server.serve_forever()
"""


@pytest.fixture
def fake_gcloud(tmp_path, monkeypatch):
    """Puts a gcloud and a Java on the path that behave as they are told."""

    def make(behaviour):
        record = tmp_path / "record.json"
        programs = tmp_path / "bin"
        programs.mkdir()
        text = FAKE.format(python=sys.executable, behaviour=behaviour, record=record)
        for name, content in (("gcloud", text), ("java", "#!/bin/sh\n")):
            (programs / name).write_text(content)
            (programs / name).chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(programs))
        return record

    return make


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("behaviour", ["obedient", "stubborn"])
def test_the_emulator_is_ended_whether_it_wants_or_not(fake_gcloud, behaviour, tmp_path):
    """It is asked first; then its whole process group is ended."""
    record = fake_gcloud(behaviour)
    emulator = GcloudDatastore(tmp_path / "data", "demo", stop_seconds=0.5)
    pid, group, arguments = json.loads(record.read_text())
    assert listens(emulator.host)
    emulator.close()
    emulator.close()
    assert pid == group
    assert not is_alive(pid)
    assert not listens(emulator.host)
    assert {"--project=demo", f"--data-dir={tmp_path / 'data'}"} < set(arguments)
    assert "--no-store-on-disk" not in arguments


def test_an_emulator_without_a_directory_keeps_nothing(fake_gcloud):
    """It is given a directory that goes with it."""
    record = fake_gcloud("obedient")
    GcloudDatastore(None, "demo").close()
    arguments = json.loads(record.read_text())[2]
    assert "--no-store-on-disk" in arguments
    directory = next(each for each in arguments if each.startswith("--data-dir=")).partition("=")[2]
    assert not os.path.exists(directory)


def test_an_emulator_that_ends_at_once_says_why(fake_gcloud, tmp_path):
    """The line with the error, of all that it said."""
    fake_gcloud("refuse")
    with pytest.raises(OpenError) as caught:
        GcloudDatastore(tmp_path, "demo")
    expected = (
        "gcloud's Datastore emulator ended at its start: ERROR: (gcloud.beta.emulators) no such component"
    )
    assert expected == str(caught.value)


def test_an_emulator_that_never_answers_is_given_up(fake_gcloud, tmp_path):
    """And nothing of it is left running."""
    record = fake_gcloud("deaf")
    with pytest.raises(OpenError, match=r"did not answer within 2 s"):
        GcloudDatastore(tmp_path, "demo", patience=2, stop_seconds=0.5)
    assert not is_alive(json.loads(record.read_text())[0])


def test_a_missing_java_is_one_line(tmp_path, monkeypatch):
    """gcloud alone cannot run the emulator."""
    (tmp_path / "gcloud").touch(mode=stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OpenError, match=r"^--datastore=gcloud needs Java: install a JRE"):
        GcloudDatastore(tmp_path, "demo")
