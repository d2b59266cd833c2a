"""`fantasm start`, `list` and `show` against a running application."""

import http.server
import json
import re
import threading

import pytest

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.cli.main import main
from fantasm_gcp.cli.start import read_context


@pytest.fixture
def fantasm(runner, served):
    """Runs a verb against the application that is served."""

    def invoke(*arguments):
        return runner.invoke(main, [*arguments, "--url", served])

    return invoke


def start(fantasm, *arguments):
    answer = fantasm("start", *arguments, "--format", "json")
    assert answer.exit_code in (0, 1), answer.output
    return json.loads(answer.output)


def test_a_start_answers_the_instance_and_its_page(fantasm, served):
    """The first word is the instance, for scripts; the second line is for a browser."""
    answer = fantasm("start", "Walk", "way=right")
    first, second = answer.output.splitlines()
    assert 0 == answer.exit_code
    assert re.fullmatch(r"Walk-\d{14}-[0-9a-f]{16}", first)
    assert f"{served}/fantasm/instances/{first}" == second


def test_waiting_for_a_completed_instance_is_status_0(fantasm):
    """The answer has the status, the times and the counts of the end."""
    answer = fantasm("start", "Walk", "--wait", "--format", "json")
    told = json.loads(answer.output)
    assert (0, "completed") == (answer.exit_code, told["status"])
    assert {"in_flight": 0, "failed": 0, "done": 1} == told["states"]["Leave"]
    assert told["started"] <= told["ended"]


def test_waiting_for_a_failed_instance_is_status_1(fantasm):
    """A state returned an event that it does not have."""
    answer = fantasm("start", "Walk", "way=wrong", "--wait")
    assert 1 == answer.exit_code
    assert answer.output.splitlines()[0].endswith(": failed")


def test_the_same_key_starts_once(fantasm):
    """The second answer is the first one's instance, and says so."""
    first = start(fantasm, "Walk", "--key", "only once")
    second = fantasm("start", "Walk", "--key", "only once")
    assert f"{first['instance']}  (started before, with the same key)" == second.output.splitlines()[0]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_method_is_no_part_of_the_context(fantasm, method):
    """It chooses how the tasks are delivered."""
    told = start(fantasm, "Walk", "a=1", "a=2", "b==", "--method", method, "--wait")
    shown = json.loads(fantasm("show", told["instance"], "--format", "json").output)
    assert [{"a": ["1", "2"], "b": "="}] * 2 == [each["context"] for each in shown["steps"]["items"]]


def test_show_tells_a_failed_step(fantasm):
    """Its transition, its error and its name, under the counts of its state."""
    told = start(fantasm, "Walk", "way=wrong", "--wait")
    answer = fantasm("show", told["instance"])
    assert 0 == answer.exit_code
    head, counts, failed = answer.output.split("\n\n")
    assert head.startswith(f"{told['instance']}: failed, started 20")
    assert "Choose          0       1     0" in counts.splitlines()
    assert "FAILED STEP" in failed
    assert "pseudo-init --pseudo-init--> Choose" in failed
    assert "nowhere" in failed


def test_an_application_s_own_client_works(fantasm):
    """`datastore.Client()` in an action finds the local server by the environment."""
    assert 0 == fantasm("start", "Errand", "--wait").exit_code


def test_show_tells_the_steps_in_their_order(fantasm):
    """From the start to the end."""
    told = start(fantasm, "Walk", "--wait")
    output = fantasm("show", told["instance"]).output
    assert output.index("pseudo-init --pseudo-init--> Choose") < output.index("Choose --on--> Leave")


def test_list_filters_and_limits(fantasm):
    """Newest first; a note says that there are more."""
    names = [start(fantasm, "Walk", "--wait")["instance"] for _ in range(2)]
    answer = fantasm("list", "--machine", "Walk", "--status", "completed", "--limit", "1")
    assert 0 == answer.exit_code
    rows = answer.stdout.splitlines()
    assert ["INSTANCE", "STATUS", "STARTED (UTC)", "ENDED (UTC)"] == re.split(r"  +", rows[0])
    assert 2 == len(rows)
    assert "these are the newest 1; --limit shows more\n" == answer.stderr
    told = json.loads(fantasm("list", "--limit", "1000", "--format", "json").stdout)
    assert set(names) <= {each["instance"] for each in told["instances"]}


@pytest.mark.parametrize("verb", [("start", "Wolk"), ("list", "--machine", "Wolk")])
def test_a_misspelt_machine_is_guessed(fantasm, verb):
    """The names are the application's own."""
    answer = fantasm(*verb)
    assert (2, "fantasm: unknown machine 'Wolk'; did you mean 'Walk'?\n") == (answer.exit_code, answer.output)


def test_an_unlike_machine_gets_the_list(fantasm):
    """Where nothing is near, all are named."""
    output = fantasm("start", "Zzzzzzz").output
    names = ", ".join(["Party", "Walk", "Errand", *BUILT_IN])
    assert f"fantasm: unknown machine 'Zzzzzzz'; the machines are: {names}\n" == output


def test_an_instance_that_is_not_there_is_one_line(fantasm):
    """Characters that mean something in a URL stay part of the name."""
    answer = fantasm("show", "no such thing?")
    assert (2, "fantasm: there is no instance 'no such thing?'\n") == (answer.exit_code, answer.output)


def test_what_the_application_refuses_is_its_own_message(fantasm):
    """A reserved name, for one."""
    answer = fantasm("start", "Walk", "__x=1")
    assert 2 == answer.exit_code
    assert answer.output.startswith("fantasm: argument '__x' is reserved")


@pytest.mark.parametrize("arguments", [["list"], ["show", "x"], ["start", "Walk"]])
def test_no_server_asks_whether_one_is_running(runner, arguments):
    """Port 1 of this machine is nobody's."""
    answer = runner.invoke(main, [*arguments, "--url", "http://127.0.0.1:1"])
    expected = "fantasm: no answer from http://127.0.0.1:1 (Connection refused): is fantasm dev running?\n"
    assert (2, expected) == (answer.exit_code, answer.output)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "file:///etc/passwd", "http://"])
def test_a_url_that_is_none_is_refused(runner, url):
    """Before anything is asked."""
    answer = runner.invoke(main, ["list", "--url", url])
    assert 2 == answer.exit_code
    assert "is no URL like http://127.0.0.1:8080" in answer.output


class _Stranger(http.server.BaseHTTPRequestHandler):
    """A server of something else; what it answers depends on the path's first word."""

    def do_GET(self):
        answers = {
            "html": (200, b"<h1>hello</h1>"),
            "list": (200, b"[1]"),
            "missing": (404, b"<h1>not found</h1>"),
            "broken": (500, b'{"error": "it broke"}'),
        }
        status, body = answers[self.path.split("/")[1]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Tests print nothing."""


@pytest.fixture(scope="module")
def stranger():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stranger)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["html", "list", "missing"])
def test_an_answer_of_something_else_is_recognised(runner, stranger, path):
    """Another program may be at the port."""
    answer = runner.invoke(main, ["list", "--url", f"{stranger}/{path}"])
    expected = f"fantasm: what answers at {stranger}/{path} is not this application: name another with --url; the root_url of its fsm.yaml, where it has one, belongs there, too\n"
    assert (2, expected) == (answer.exit_code, answer.output)


def test_a_failure_of_the_server_is_status_1(runner, stranger):
    """There is nothing that the caller should do otherwise."""
    answer = runner.invoke(main, ["list", "--url", f"{stranger}/broken"])
    assert (1, "fantasm: it broke\n") == (answer.exit_code, answer.output)


@pytest.mark.parametrize("argument", ["a", "=b", "a\udcff=b", "a=\udcff"])
def test_an_argument_that_is_no_name_and_value_is_wrong_usage(runner, argument):
    """Nothing is started then."""
    answer = runner.invoke(main, ["start", "Walk", argument])
    assert 2 == answer.exit_code
    assert "Invalid value for arguments" in answer.output


@pytest.mark.parametrize("key", ["", " a", "a ", "ü", "a\nb", "x" * 501])
def test_a_key_that_no_header_can_carry_is_wrong_usage(runner, key):
    """Spaces at its ends would be lost on the way."""
    answer = runner.invoke(main, ["start", "Walk", "--key", key])
    assert 2 == answer.exit_code
    assert "1 to 500 characters of printable ASCII" in answer.output


def test_values_are_text_as_it_was_written():
    """Nothing is taken for a number, and only the first equals sign separates."""
    expected = {"a": "1", "b": "x=y", "c": ["", "ü"]}
    assert expected == read_context(["a=1", "b=x=y", "c=", "c=ü"])
