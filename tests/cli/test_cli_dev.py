"""`fantasm dev` as a process: starting, serving, ending, and every way in which it does not start."""

import json
import signal
import socket
import urllib.request

import pytest
from dev_child import Child, clean_environ, run

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.cli.serving import INTERRUPTED

FREE = ("--port", "0")
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url):
    with HTTP.open(url, timeout=30) as answer:
        return json.load(answer)


def test_it_tells_one_fact_a_line_and_stops_politely(project):
    """Where the console, the data and the two servers are; SIGTERM ends it with status 0."""
    with Child(project, "dev", *FREE) as child:
        url = child.await_url()
        assert ["Party", "Walk", "Errand", *BUILT_IN] == [
            each["machine"] for each in get(f"{url}/fantasm/api/machines")["machines"]
        ]
        assert 0 == child.stop()
    console, data, datastore, tasks, queues, entities, last = child.said
    assert f"console    {url}/fantasm/" == console
    assert "data       in .fantasm" == data
    assert datastore.startswith("datastore  127.0.0.1:")
    assert datastore.endswith(" (DATASTORE_EMULATOR_HOST)")
    assert tasks.startswith("tasks      127.0.0.1:")
    assert tasks.endswith(" (CLOUD_TASKS_EMULATOR_HOST)")
    assert f"queues     http://{tasks.split()[1]}/" == queues
    assert f"entities   http://{tasks.split()[1]}/datastore/" == entities
    assert f"serving {url}/fantasm/ until Ctrl-C" == last
    assert "*\n" == (project / ".fantasm" / ".gitignore").read_text()


def test_ctrl_c_ends_it_with_status_0(project):
    """SIGINT is how a person stops it."""
    with Child(project, "dev", "--memory", *FREE) as child:
        child.await_url()
        child.process.send_signal(signal.SIGINT)
        assert 0 == child.await_end()


def test_exit_alone_checks_that_all_starts(project):
    """Nothing is left behind in memory mode."""
    status, said = run(project, "dev", "--memory", "--exit", *FREE)
    assert 0 == status, said
    assert "data       in memory, until the end" in said
    assert not (project / ".fantasm").exists()


def test_an_application_of_a_factory_is_served(project):
    """Written as gunicorn has it."""
    (project / "factory.py").write_text("import main\n\n\ndef create_app():\n    return main.app\n")
    status, said = run(project, "dev", "--memory", "--exit", "--app", "factory:create_app()", *FREE)
    assert 0 == status, said


def test_a_demonstration_runs_to_its_end(project):
    """The progress names each state, the outcome is the module's own, the status says that it is right."""
    status, said = run(project, "dev", "--memory", "--demo", "small_demo", "--exit", *FREE)
    assert 0 == status, said
    lines = said.splitlines()
    assert "[####################] 100 %  Send 6 done" in lines
    assert "5 invitations sent" in lines
    assert any(line.startswith("completed in ") and ": 6 steps, " in line for line in lines)
    assert lines[-1].startswith("right: http://127.0.0.1:")


def test_a_wrong_outcome_is_status_1(project):
    """The machine completed, but what it did is not what was wanted."""
    status, said = run(project, "dev", "--memory", "--demo", "wrong_demo", "--exit", *FREE)
    assert 1 == status, said
    assert said.splitlines()[-1].startswith("WRONG: http://127.0.0.1:")


def test_a_failed_instance_is_status_1_and_names_its_step(project):
    """An unknown event fails the step at once; the outcome is not asked for."""
    text = (project / "fsm.yaml").read_text().replace("event: 'on'", "event: other")
    (project / "fsm.yaml").write_text(text)
    (project / "walk_demo.py").write_text(
        (project / "small_demo.py").read_text().replace('MACHINE = "Party"', 'MACHINE = "Walk"')
    )
    status, said = run(project, "dev", "--memory", "--demo", "walk_demo", "--exit", *FREE)
    assert 1 == status, said
    assert "  failed: pseudo-init --pseudo-init--> Choose, due " in said
    assert "invitations" not in said


def test_the_run_after_a_completed_one_begins_another_instance(project):
    """The key of the start is kept until its instance has ended, and no longer."""
    instances = set()
    for _ in range(2):
        status, said = run(project, "dev", "--demo", "small_demo", "--exit", *FREE)
        assert 0 == status, said
        instances.add(
            next(line for line in said.splitlines() if line.startswith("instance")).rpartition("/")[2]
        )
    assert 2 == len(instances)


def test_a_killed_campaign_goes_on_at_the_next_start(project):
    """SIGKILL in the middle loses nothing and does nothing twice, and it is the same instance."""
    arguments = ("dev", "--demo", "large_demo", "--exit", *FREE)
    with Child(project, *arguments) as child:
        begun = child.await_line("instance")
        child.await_line("[")
        child.process.kill()
        assert -signal.SIGKILL == child.await_end()
    status, said = run(project, *arguments)
    assert 0 == status, said
    continued = next(line for line in said.splitlines() if line.startswith("continues"))
    assert begun.rpartition("/")[2] == continued.rpartition("/")[2]
    assert "200 invitations sent" in said


def test_a_demonstration_that_is_stopped_goes_on_later(project):
    """With --exit, being stopped before the outcome is neither right nor wrong."""
    arguments = ("dev", "--demo", "large_demo", "--exit", *FREE)
    with Child(project, *arguments) as child:
        child.await_line("[")
        assert INTERRUPTED == child.stop()
    assert "stopped before the end; the next run continues it" in child.said
    status, said = run(project, *arguments)
    assert 0 == status, said
    assert "continues" in said


def test_a_taken_port_is_one_line(project):
    """It says which, and the option to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = run(project, "dev", "--memory", "--port", str(port))
    expected = (
        f"fantasm: port {port} of 127.0.0.1 is in use: stop what listens there, or choose another with --port"
    )
    assert (2, expected) == (status, said)


def test_a_second_process_on_one_directory_is_refused(project):
    """Neither of the two would see what the other writes."""
    with Child(project, "dev", *FREE) as child:
        child.await_url()
        expected = (
            "fantasm: the data in .fantasm is in use, perhaps by another fantasm dev or fantasm emulator: "
            "stop that one, or choose another directory with --data"
        )
        assert (2, expected) == run(project, "dev", *FREE)


@pytest.mark.parametrize("file", ["datastore.sqlite", "tasks.sqlite"])
def test_a_file_of_something_else_is_not_touched(project, file):
    """A data directory that holds no data of ours ends the start, in one line."""
    (project / ".fantasm").mkdir()
    (project / ".fantasm" / file).write_bytes(b"this is no database\n" * 100)
    status, said = run(project, "dev", *FREE)
    assert 2 == status
    assert said.startswith(f"fantasm: .fantasm/{file} cannot be used: ")
    assert 1 == len(said.splitlines())
    assert b"this is no database\n" * 100 == (project / ".fantasm" / file).read_bytes()


def test_a_data_directory_that_is_a_file_is_wrong_usage(project):
    """Told before anything starts."""
    status, said = run(project, "dev", "--data", "main.py", *FREE)
    assert 2 == status
    assert "'main.py' is a file" in said


def test_every_problem_of_the_definitions_is_shown(project):
    """All mistakes, with their places, and no traceback."""
    text = (project / "fsm.yaml").read_text()
    (project / "fsm.yaml").write_text(text.replace("initial:", "inital:").replace("to: Leave", "to: Leaf"))
    status, said = run(project, "dev", "--memory", *FREE)
    assert 2 == status
    assert said.startswith("fantasm: the definitions cannot be used:\n")
    assert 3 == said.count("unknown attribute 'inital'")
    assert "did you mean 'Leave'?" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("app", "text", "expected"),
    [
        (
            "broken",
            "import no_such_module_here\n",
            "broken cannot be imported: ModuleNotFoundError: No module named 'no_such_module_here'\n"
            "  at {project}/broken.py:1: import no_such_module_here",
        ),
        (
            "broken:app",
            "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('no') from error\n",
            "broken cannot be imported: ZeroDivisionError: division by zero\n  at {project}/broken.py:2: 1 / 0",
        ),
        (
            "broken",
            "raise SystemExit(3)\n",
            "broken cannot be imported: SystemExit: 3\n  at {project}/broken.py:1",
        ),
        (
            "broken",
            "def f(:\n",
            "broken cannot be imported: SyntaxError: invalid syntax\n  at {project}/broken.py:1",
        ),
        ("broken", "ap = 1\n", "module 'broken' has no 'app'; did you mean 'ap'?"),
        ("broken", "app = 1\n", "broken is no Flask application with the extension: write Fantasm(app, "),
        (
            "broken",
            "from flask import Flask\nfrom fantasm_gcp import Fantasm\napp = Flask(__name__)\nFantasm(app)\n",
            "broken takes no settings from the environment, so it does not know that it runs locally: write ",
        ),
        (
            "broken:create",
            "def create():\n    return 1\n",
            "broken:create is no Flask application with the extension: a factory of one is written 'broken:create()'",
        ),
        (
            "broken:create()",
            "def create():\n    return 1 / 0\n",
            "broken:create() cannot be had: ZeroDivisionError: division by zero\n  at {project}/broken.py:2",
        ),
        (
            "nowhere:app",
            "",
            "there is no module 'nowhere' in {project}: go to its directory, or name another",
        ),
    ],
)
def test_an_application_that_cannot_be_had_is_told_in_two_lines(project, app, text, expected):
    """The innermost cause and its line; no traceback."""
    (project / "broken.py").write_text(text)
    status, said = run(project, "dev", "--memory", "--app", app, *FREE)
    assert 2 == status
    assert said.startswith(f"fantasm: {expected.format(project=project)}"), said
    assert len(said.splitlines()) <= 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MACHINE = 'Party'\n", "module 'bad_demo' is no demonstration: it lacks seed, total, outcome"),
        (
            "MACHINE = 'Partey'\nseed = total = outcome = None\n",
            "bad_demo.MACHINE is 'Partey', which is no machine; did you mean 'Party'?",
        ),
    ],
)
def test_a_module_that_is_no_demonstration_is_one_line(project, text, expected):
    """What it lacks, or which machine it means."""
    (project / "bad_demo.py").write_text(text)
    status, said = run(project, "dev", "--memory", "--demo", "bad_demo", "--exit", *FREE)
    assert (2, f"fantasm: {expected}") == (status, said.splitlines()[-1])


@pytest.mark.parametrize("name", ["DATASTORE_EMULATOR_HOST", "CLOUD_TASKS_EMULATOR_HOST"])
def test_a_server_that_is_named_but_not_there_is_one_line(project, name):
    """Calls to it would be tried again for a long time before anybody knew."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so nobody else gets it, but not listening
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        status, said = run(project, "dev", "--memory", *FREE, environ={name: address})
    assert 2 == status
    assert said == (
        f"fantasm: {name} is '{address}', and nothing answers there: "
        "start that server, or unset the variable to have one started here"
    )


def test_a_datastore_that_is_named_is_used(project):
    """The second process works on the first one's Datastore, over the wire, and starts none."""
    with Child(project, "dev", *FREE) as first:
        host = first.await_line("datastore").split()[1]
        first.await_line("serving")
        status, said = run(
            project,
            *("dev", "--demo", "small_demo", "--exit", "--data", "other", *FREE),
            environ={"DATASTORE_EMULATOR_HOST": host},
        )
    assert 0 == status, said
    assert f"datastore  {host} (as DATASTORE_EMULATOR_HOST says; not started here)" in said
    assert "entities" not in said
    assert ["demo.json", "tasks.sqlite"] == sorted(
        each.name for each in (project / "other").iterdir() if each.suffix in (".json", ".sqlite")
    )


def test_gcloud_and_a_named_datastore_exclude_each_other(project):
    """One of the two was not meant."""
    environ = {"DATASTORE_EMULATOR_HOST": "127.0.0.1:1"}
    status, said = run(project, "dev", "--memory", "--datastore", "gcloud", *FREE, environ=environ)
    assert 2 == status
    assert said.startswith(
        "fantasm: --datastore=gcloud starts an emulator, but DATASTORE_EMULATOR_HOST names one"
    )


def test_without_gcloud_the_option_says_what_to_do(project, tmp_path):
    """One line, status 2, nothing left running."""
    environ = {"PATH": str(tmp_path)}
    status, said = run(project, "dev", "--memory", "--datastore", "gcloud", *FREE, environ=environ)
    assert (2, 2) == (status, len(said.splitlines()))
    assert "fantasm: --datastore=gcloud needs gcloud: install the Google Cloud CLI" in said


def test_an_unknown_setting_ends_the_start(project):
    """A misspelt variable would be silently without effect."""
    status, said = run(project, "dev", "--memory", *FREE, environ={"FANTASM_LOCATOIN": "x"})
    assert (2, "fantasm: unknown setting FANTASM_LOCATOIN; did you mean FANTASM_LOCATION?") == (status, said)


def test_the_environment_of_these_tests_is_clean():
    """What a developer has set must not decide whether they pass."""
    assert not [
        name for name in clean_environ() if name.startswith(("FANTASM", "GOOGLE", "DATASTORE", "CLOUD"))
    ]
