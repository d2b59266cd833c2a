"""Setting logging up: once, only where the settings say so, and never against a user's own handlers."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fantasm_gcp import Settings
from fantasm_gcp.core.traces import Trace
from fantasm_gcp.observing.logs import LineHandler, Project, set_up
from fantasm_gcp.observing.scope import Scope, current, enter, leave, of_request, within

JSON = replace(Settings(), logs="json", project="given")
TRACING = Path(__file__).parents[1] / "scenarios" / "tracing.yaml"


@pytest.fixture
def root():
    return logging.Logger("root", logging.INFO)


@pytest.fixture(autouse=True)
def own_level():
    own = logging.getLogger("fantasm_gcp")
    before = own.level
    yield
    own.setLevel(before)


def test_a_handler_is_installed_once(root):
    """However often it is asked for."""
    stream = io.StringIO()
    assert [True, False] == [set_up(JSON, root=root, stream=stream) for _ in range(2)]
    root.info("one")
    assert ["one"] == [json.loads(line)["message"] for line in stream.getvalue().splitlines()]


def test_who_configured_handlers_keeps_them(root):
    """Nothing is added to a root logger that has one."""
    mine = logging.NullHandler()
    root.addHandler(mine)
    assert not set_up(JSON, root=root)
    assert [mine] == root.handlers


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        (Settings(), ""),
        (replace(Settings(), logs="none", runtime="Cloud Run"), ""),
        (replace(Settings(), runtime="Cloud Run"), "{"),
        (replace(Settings(), runtime="App Engine", app_engine_environment="localdev"), ""),
        (replace(Settings(), logs="text"), "2"),
        (JSON, "{"),
    ],
    ids=["elsewhere", "told not to", "on Cloud Run", "development server", "text", "json"],
)
def test_the_settings_say_how(root, settings, first):
    """Without a word JSON on both runtimes, and nothing elsewhere."""
    stream = io.StringIO()
    assert bool(first) == set_up(settings, root=root, stream=stream)
    root.info("hello")
    assert first == stream.getvalue()[:1]


def test_this_package_logs_from_info_on_and_others_as_they_did(root):
    """A level that the user chose for it stays."""
    own = logging.getLogger("fantasm_gcp")
    own.setLevel(logging.NOTSET)
    set_up(JSON, root=root, stream=io.StringIO())
    assert (logging.INFO, logging.INFO) == (own.level, root.level)
    own.setLevel(logging.ERROR)
    root.handlers.clear()
    set_up(JSON, root=root, stream=io.StringIO())
    assert logging.ERROR == own.level


def test_the_standard_output_gets_the_lines_of_a_whole_process():
    """One object on each line, and nothing else; the import alone changes nothing."""
    code = (
        "import logging, sys\n"
        "from fantasm_gcp.observing.logs import set_up\n"
        "from fantasm_gcp import Settings\n"
        "assert not logging.getLogger().handlers\n"
        "settings = Settings.from_environ({'K_SERVICE': 'mine', 'K_REVISION': 'mine-1'})\n"
        "set_up(settings, lambda: 'p')\n"
        "logging.getLogger('fantasm_gcp.steps').info('of ours')\n"
        "logging.getLogger('other').info('not shown')\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: logging.getLogger('other').exception('of %s \\ud800', 'theirs')\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'opentelemetry']\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = (json.loads(line) for line in ran.stdout.splitlines())
    assert ("of ours", "INFO") == (first["message"], first["severity"])
    assert ("of theirs \\ud800", {"service": "mine", "version": "mine-1"}) == (
        second["message"],
        second["serviceContext"],
    )
    assert "" == ran.stderr


def run_application(lines, **environ):
    """The log lines of a process that serves machines, and what else it wrote to the standard output."""
    environ |= {"GCE_METADATA_HOST": "127.0.0.1:1", "FANTASM_DEFINITIONS": str(TRACING)}
    code = (
        "import logging, sys\n"
        f"sys.path.insert(0, {str(TRACING.parent)!r})\n"
        "from flask import Flask\n"
        "from fantasm_gcp import Fantasm, Settings\n"
        f"app, settings = Flask('app'), Settings.from_environ({environ!r})\n{lines}"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    lines = ran.stdout.splitlines()
    made = [json.loads(line) for line in lines if line.startswith("{")]
    return made, [line for line in lines if not line.startswith("{")], ran.stderr


def test_lines_that_are_written_while_the_settings_are_found_hold_nothing_up():
    """At DEBUG the HTTP client logs, in a request that has a trace, whose name needs the project."""
    made, answered, _ = run_application(
        "Fantasm(app, settings)\n"
        "logging.getLogger().setLevel(logging.DEBUG)\n"
        f"trace = '00-{'a' * 32}-{'b' * 16}-01'\n"
        "print(app.test_client().get('/fantasm/', headers={'traceparent': trace}).status_code)\n",
        K_SERVICE="mine",
    )
    assert (["500"], True) == (answered, "urllib3.connectionpool" in {each["logger"] for each in made})


def test_an_application_that_logged_before_has_each_line_once():
    """Flask gave its logger a handler of its own then, as there was no other."""
    made, _, errors = run_application(
        "app.logger.error('early')\nFantasm(app, settings)\napp.logger.error('late')\n",
        K_SERVICE="mine",
    )
    assert (["late"], False) == ([each["message"] for each in made], "late" in errors)


def test_a_stream_that_cannot_be_written_to_stops_nobody(root, capsys):
    """As with every handler of the module, the standard error hears of it."""
    stream = io.StringIO()
    set_up(JSON, root=root, stream=stream)
    stream.close()
    root.info("lost")
    assert "closed file" in capsys.readouterr().err


def test_the_project_is_found_when_a_trace_needs_it_and_once(root):
    """Not at the start: on Cloud Run that is a request to the metadata server."""
    asked = []
    stream = io.StringIO()
    set_up(JSON, lambda: asked.append(1) or "found", root=root, stream=stream)
    root.info("no trace")
    assert [] == asked
    with within(Scope(Trace("a" * 32, "b" * 16))):
        root.info("one")
        root.info("two")
    names = [json.loads(line).get("logging.googleapis.com/trace") for line in stream.getvalue().splitlines()]
    assert [None, *[f"projects/found/traces/{'a' * 32}"] * 2] == names
    assert [1] == asked


def test_a_project_that_cannot_be_found_costs_no_line_and_is_not_asked_for_at_each():
    """It may be asked for again, but not at once."""
    asked = []

    def find():
        asked.append(1)
        raise OSError("no metadata server")

    project = Project(find)
    assert ["", ""] == [project(), project()]
    assert [1] == asked


def test_finding_the_project_may_log(root):
    """What it logs is written without a project, and does not find it again."""
    stream = io.StringIO()

    def find():
        root.info("looking")
        return "found"

    set_up(JSON, find, root=root, stream=stream)
    with within(Scope(Trace("a" * 32, "b" * 16))):
        root.info("one")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [("looking", "a" * 32), ("one", f"projects/found/traces/{'a' * 32}")] == [
        (each["message"], each["logging.googleapis.com/trace"]) for each in lines
    ]


def test_the_handler_writes_to_the_standard_output_of_the_moment(capsys):
    """Whatever took its place since."""
    handler = LineHandler(logging.Formatter("%(message)s"))
    handler.handle(logging.LogRecord("app", 20, "", 0, "hello", (), None))
    assert "hello\n" == capsys.readouterr().out


def test_a_request_is_described_without_its_query():
    """What is in a query may be secret: a start token, a context."""
    scope = of_request("POST", "/fantasm/fsm/M/", {"User-Agent": "curl"})
    assert {"requestMethod": "POST", "requestUrl": "/fantasm/fsm/M/", "userAgent": "curl"} == scope.request
    assert scope.trace is None


def test_scopes_nest():
    """The inner one ends where it began; leaving one that another thread began changes nothing there."""
    outer, inner = Scope(labels={"a": "1"}), Scope(labels={"b": "2"})
    with within(outer):
        with within(inner):
            assert inner is current()
        assert outer is current()
    assert current() is None
    token = enter(outer)
    other = threading.Thread(target=leave, args=(token,))
    other.start()
    other.join()
    assert outer is current()
    leave(token)
    assert current() is None
