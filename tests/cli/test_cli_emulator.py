"""`fantasm emulator` as a process: real clients, over real sockets, and every way in which it does not start."""

import errno
import io
import itertools
import json
import os
import queue
import signal
import socket
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google.auth.transport.requests
import grpc
import pytest
from dev_child import PATIENCE, Child
from google.api_core import exceptions
from google.cloud import datastore, tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.oauth2 import id_token

from fantasm_gcp.cli.main import main
from fantasm_gcp.cli.refusal import Refusal

FREE = ("--datastore-port", "0", "--tasks-port", "0")
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PARENT = "projects/local/locations/us-central1"
QUEUE_YAML = "queue:\n- name: slow\n  rate: 1/s\n  retry_parameters:\n    task_retry_limit: 7\n"
INDEX_YAML = (
    "indexes:\n- kind: Task\n  properties:\n  - name: done\n  - name: priority\n    direction: desc\n"
)
FSM_YAML = """
state_machines:
- name: Errand
  queue: errands
  states:
  - {name: go, action: nowhere.Action, initial: True, final: True}
"""


@contextmanager
def emulator(directory, *arguments, environ=None):
    """It runs; gives its addresses by variable, and the child."""
    with Child(directory, "emulator", *FREE, *arguments, environ=environ) as child:
        child.await_line("serving")
        lines = [line.removeprefix("export ") for line in child.said if line.startswith("export ")]
        yield dict(line.split("=", 1) for line in lines), child
        assert 0 == child.stop(), child.output


def tasks_client(channel):
    return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def get(url):
    with HTTP.open(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def post(url, **values):
    request = urllib.request.Request(
        url, json.dumps(values).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with HTTP.open(request, timeout=PATIENCE) as answer:
        return answer.read().decode()


@contextmanager
def worker():
    """A server that answers 200 and keeps what it was sent: gives its URL, and waits for the next request."""
    came, arrived = [], threading.Semaphore(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append((self.path, dict(self.headers)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            arrived.release()

        def log_message(self, *_):
            pass

    def next_request():
        assert arrived.acquire(timeout=PATIENCE), "nothing was delivered"
        return came.pop(0)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", next_request
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_both_servers_are_reached_by_the_addresses_it_prints(tmp_path, monkeypatch):
    """Datastore over gRPC and over HTTP at one port, Cloud Tasks over gRPC and REST at another."""
    with emulator(tmp_path, "--memory") as (addresses, child):
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", addresses["DATASTORE_EMULATOR_HOST"])
        for over_grpc in (True, False):
            client = datastore.Client(project="local", _use_grpc=over_grpc)
            key = client.key("K", f"grpc {over_grpc}")
            client.put(datastore.Entity(key))
            assert key == client.get(key).key
        tasks = addresses["CLOUD_TASKS_EMULATOR_HOST"]
        with grpc.insecure_channel(tasks) as channel:
            tasks_client(channel).create_queue(parent=PARENT, queue={"name": f"{PARENT}/queues/mine"})
        assert f"{PARENT}/queues/mine" == json.loads(get(f"http://{tasks}/v2/{PARENT}/queues/mine"))["name"]
        assert "Ok\n" == get(f"http://{addresses['DATASTORE_EMULATOR_HOST']}/")
        for address in addresses.values():  # and nothing answers at another address of this machine
            host, _, port = address.partition(":")
            assert "127.0.0.1" == host
            with pytest.raises(OSError), socket.create_connection(("127.0.0.2", int(port)), timeout=5):
                pass
    assert "data       in memory, until the end" in child.said
    assert [] == list(tmp_path.iterdir())


def test_one_server_alone_can_be_had(tmp_path):
    """The other is not mentioned, and has no file."""
    with emulator(tmp_path, "tasks") as (addresses, _):
        assert ["CLOUD_TASKS_EMULATOR_HOST"] == list(addresses)
    assert [".gitignore", "tasks.sqlite"] == sorted(
        each.name for each in (tmp_path / ".fantasm").iterdir() if not each.name.endswith(("-wal", "-shm"))
    )


def test_queues_of_queue_yaml_and_fsm_yaml_are_there_at_the_start(tmp_path):
    """The one configured as the file says, the other by default; --strict-queues refuses all others."""
    (tmp_path / "queue.yaml").write_text(QUEUE_YAML)
    (tmp_path / "fsm.yaml").write_text(FSM_YAML)
    with (
        emulator(tmp_path, "--strict-queues", "--project=shop", "--location=here") as (addresses, _),
        grpc.insecure_channel(addresses["CLOUD_TASKS_EMULATOR_HOST"]) as channel,
    ):
        client, parent = tasks_client(channel), "projects/shop/locations/here"
        slow = client.get_queue(name=f"{parent}/queues/slow")
        assert (1, 8) == (slow.rate_limits.max_dispatches_per_second, slow.retry_config.max_attempts)
        errands = client.get_queue(name=f"{parent}/queues/errands")
        assert (500, 100) == (
            errands.rate_limits.max_dispatches_per_second,
            errands.retry_config.max_attempts,
        )
        with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
            client.create_task(
                parent=f"{parent}/queues/other", task={"http_request": {"url": "http://localhost/"}}
            )


def test_tasks_go_to_services_with_tokens_that_verify(tmp_path):
    """App Engine tasks by the map of services, HTTP tasks to their URL; the token by the served certificates."""
    with (
        worker() as (url, next_request),
        emulator(tmp_path, "--memory", "--service", f"worker={url}") as (addresses, child),
        grpc.insecure_channel(addresses["CLOUD_TASKS_EMULATOR_HOST"]) as channel,
    ):
        client, queue = tasks_client(channel), f"{PARENT}/queues/q"
        routing = {"service": "worker"}
        client.create_task(
            parent=queue,
            task={"app_engine_http_request": {"relative_uri": "/run", "app_engine_routing": routing}},
        )
        path, headers = next_request()
        assert ("/run", "q") == (path, headers["X-AppEngine-QueueName"])
        oidc = {"service_account_email": "me@local.iam.gserviceaccount.com", "audience": "https://mine"}
        client.create_task(parent=queue, task={"http_request": {"url": f"{url}/go", "oidc_token": oidc}})
        path, headers = next_request()
        assert "/go" == path
        certificates = f"http://{addresses['CLOUD_TASKS_EMULATOR_HOST']}/oauth2/v1/certs"
        claims = id_token.verify_token(
            headers["Authorization"].removeprefix("Bearer "),
            google.auth.transport.requests.Request(),
            audience="https://mine",
            certs_url=certificates,
        )
        assert oidc["service_account_email"] == claims["email"]
        assert f"App Engine worker is {url}" in child.said


def test_a_query_without_its_index_is_refused_with_the_stanza(tmp_path, monkeypatch):
    """As in production; once index.yaml has it, it is answered, and with --any-query always."""

    def ask():
        client = datastore.Client(project="local")
        query = client.query(kind="Task", order=["-priority"])
        query.add_filter(filter=datastore.query.PropertyFilter("done", "=", False))
        return list(query.fetch())

    with emulator(tmp_path, "datastore") as (addresses, child):
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", addresses["DATASTORE_EMULATOR_HOST"])
        with pytest.raises(exceptions.FailedPrecondition) as caught:
            ask()
        pages = f"http://{addresses['DATASTORE_EMULATOR_HOST']}/datastore/"
        assert f"pages      {pages}" in child.said
        assert 'href="/datastore/"' in get(pages)
        (tmp_path / "index.yaml").write_text(INDEX_YAML)
        assert [] == ask()
    stanza = INDEX_YAML.removeprefix("indexes:\n").strip()
    assert stanza in caught.value.message
    assert stanza in child.output
    with emulator(tmp_path, "datastore") as (addresses, _):
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", addresses["DATASTORE_EMULATOR_HOST"])
        assert [] == ask()
    os.remove(tmp_path / "index.yaml")
    with emulator(tmp_path, "datastore", "--any-query") as (addresses, _):
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", addresses["DATASTORE_EMULATOR_HOST"])
        assert [] == ask()


def test_data_outlives_a_kill(tmp_path, monkeypatch):
    """Entities and tasks, after SIGKILL; and a clock that was moved ahead, which is said."""
    (tmp_path / "queue.yaml").write_text("queue:\n- name: q\n  rate: 0/s\n")
    with Child(tmp_path, "emulator", *FREE) as child:
        child.await_line("serving")
        addresses = dict(line.removeprefix("export ").split("=", 1) for line in child.said if "=127" in line)
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", addresses["DATASTORE_EMULATOR_HOST"])
        client = datastore.Client(project="local")
        client.put(datastore.Entity(client.key("K", 1)))
        with grpc.insecure_channel(addresses["CLOUD_TASKS_EMULATOR_HOST"]) as channel:
            made = tasks_client(channel).create_task(
                parent=f"{PARENT}/queues/q", task={"http_request": {"url": "http://localhost/"}}
            )
        post(f"http://{addresses['CLOUD_TASKS_EMULATOR_HOST']}/api/clock/advance", seconds=3600)
        child.process.send_signal(signal.SIGKILL)
        child.await_end()
    with emulator(tmp_path) as (addresses, child):
        assert any(line.startswith("clock      of tasks is 1:00:00 ahead") for line in child.said)
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", addresses["DATASTORE_EMULATOR_HOST"])
        client = datastore.Client(project="local")
        assert client.get(client.key("K", 1)) is not None
        with grpc.insecure_channel(addresses["CLOUD_TASKS_EMULATOR_HOST"]) as channel:
            assert made.name == tasks_client(channel).get_task(name=made.name).name


def test_every_attempt_is_a_line(tmp_path):
    """With its number, the answer and what follows; --quiet prints none."""
    with worker() as (url, next_request):
        for arguments, expected in (((), 1), (("--quiet",), 0)):
            with emulator(tmp_path, "tasks", "--memory", *arguments) as (addresses, child):
                address = addresses["CLOUD_TASKS_EMULATOR_HOST"]
                with grpc.insecure_channel(address) as channel:
                    tasks_client(channel).create_task(
                        parent=f"{PARENT}/queues/q", task={"http_request": {"url": url}}
                    )
                next_request()
                post(f"http://{address}/api/wait", timeout=PATIENCE)
            assert expected == sum(" attempt 1: 200 in " in line for line in child.said)


@contextmanager
def slow_worker():
    """A server that answers nothing until it is let go: gives its URL, the paths that come, and how to let go."""
    came, let_go = queue.Queue(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.put(self.path)
            let_go.wait(PATIENCE)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", came, let_go.set
    finally:
        let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def create_tasks(address, *targets):
    """Creates tasks, each for a queue and a URL."""
    with grpc.insecure_channel(address) as channel:
        for name, url in targets:
            tasks_client(channel).create_task(
                parent=f"{PARENT}/queues/{name}", task={"http_request": {"url": url}}
            )


@pytest.mark.parametrize(("arguments", "expected"), [((), 12), (("--at-once=2",), 2)])
def test_slow_attempts_leave_room_for_others(tmp_path, arguments, expected):
    """A dozen are in flight at a time, in two queues; --at-once is for a worker that bears fewer."""
    with slow_worker() as (url, came, let_go), emulator(tmp_path, "tasks", "--memory", *arguments) as found:
        address = found[0]["CLOUD_TASKS_EMULATOR_HOST"]
        create_tasks(address, *[("bulk", f"{url}/bulk")] * 11, ("urgent", f"{url}/urgent"))
        arrived = [came.get(timeout=PATIENCE) for _ in range(expected)]
        flying = json.loads(get(f"http://{address}/api/attempts"))["in_flight"]
        assert expected == len(flying)
        assert (expected == 12) == ("/urgent" in arrived)
        let_go()


def test_an_end_that_waits_says_for_what_and_does_not_when_asked_twice(tmp_path):
    """The first Ctrl-C tells how many attempts are in flight, the second ends at once."""
    with slow_worker() as (url, came, _), Child(tmp_path, "emulator", "tasks", *FREE) as child:
        child.await_line("serving")
        address = next(line for line in child.said if line.startswith("export ")).partition("=")[2]
        create_tasks(address, ("q", url))
        came.get(timeout=PATIENCE)
        child.process.send_signal(signal.SIGINT)
        assert "in flight: 1; waiting 10 s" in child.await_line("in flight")
        child.process.send_signal(signal.SIGINT)
        assert 0 == child.await_end()
    assert "in flight at the end" not in child.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_address_that_others_reach_needs_a_flag(runner, tmp_path, host):
    """It names the flag, and opens nothing."""
    result = runner.invoke(main, ["emulator", *FREE, f"--host={host}"])
    assert (2, True) == (result.exit_code, "add --allow-remote" in result.output), result.output
    assert [] == list(tmp_path.iterdir())


def test_with_the_flag_other_machines_are_let_in(tmp_path):
    """At every address of this machine; over HTTP also under the names that are given."""
    with emulator(tmp_path, "tasks", "--host=0.0.0.0", "--allow-remote", "--name=tasks") as (addresses, _):
        # Which this machine's own clients can use.
        assert addresses["CLOUD_TASKS_EMULATOR_HOST"].startswith("127.0.0.1:")
        port = addresses["CLOUD_TASKS_EMULATOR_HOST"].rpartition(":")[2]
        paths = ("", f"v2/{PARENT}/queues")
        names = (("tasks", 200), ("192.0.2.1", 200), ("other", 403))
        for path, (name, expected) in itertools.product(paths, names):
            url = f"http://127.0.0.1:{port}/{path}"
            request = urllib.request.Request(url, headers={"Host": f"{name}:{port}"})
            try:
                with HTTP.open(request, timeout=PATIENCE) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                with error:
                    status = error.code
            assert expected == status


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--service=worker",), "--service: "),
        (("--service=a=http://h/", "--service=a=http://i/"), "has two URLs"),
        (("neither",), "Invalid value"),
        (("--queue-yaml=missing.yaml",), "does not exist"),
        (("--data=file",), "is a file"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what(runner, tmp_path, arguments, expected):
    """In words about the option."""
    (tmp_path / "file").touch()
    result = runner.invoke(main, ["emulator", *FREE, *arguments])
    assert (2, True) == (result.exit_code, expected in result.output), result.output


@pytest.mark.parametrize("option", ["--project=a/b", "--location=x/y", "--project=shöp"])
def test_a_project_or_location_that_cannot_be_is_told(runner, tmp_path, option):
    """Before queue.yaml's queues are made there; nothing is opened."""
    (tmp_path / "queue.yaml").write_text(QUEUE_YAML)
    result = runner.invoke(main, ["emulator", *FREE, option])
    assert (2, True) == (result.exit_code, "there can be no queues in project" in result.output), (
        result.output
    )
    assert ["queue.yaml"] == [each.name for each in tmp_path.iterdir()]


def test_a_taken_port_is_one_line(runner):
    """It says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--memory", f"--tasks-port={port}", "--datastore-port=0"]
        result = runner.invoke(main, ["emulator", *arguments])
    assert 2 == result.exit_code
    assert f"fantasm: port {port} of 127.0.0.1 cannot be used (Address already in use): " in result.output


def test_an_output_that_takes_nothing_is_one_line():
    """A full disk behind it, for one; everything that was opened is closed."""

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with redirect_stdout(Full()), pytest.raises(Refusal, match="cannot go on: No space left"):
        main(["emulator", "--memory", *FREE], standalone_mode=False)


@pytest.mark.parametrize("file", ["queue.yaml", "index.yaml", "fsm.yaml"])
def test_every_problem_of_a_file_is_told(runner, tmp_path, file):
    """With its place; nothing is opened."""
    (tmp_path / file).write_text("nonsense: true\n")
    result = runner.invoke(main, ["emulator", *FREE])
    assert (2, True) == (result.exit_code, f"{file}:1:1" in result.output), result.output
    assert [file] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("server", "files"), [("datastore", ("queue.yaml", "fsm.yaml")), ("tasks", ("index.yaml",))]
)
def test_files_of_the_other_server_are_not_looked_at(tmp_path, server, files):
    """One server alone starts beside files that the other would refuse, and in a project without queues."""
    for file in files:
        (tmp_path / file).write_text("nonsense: true\n")
    project = {"GOOGLE_CLOUD_PROJECT": "no_queues" if server == "datastore" else "shop"}
    with emulator(tmp_path, server, "--memory", environ=project) as (addresses, _):
        assert 1 == len(addresses)
