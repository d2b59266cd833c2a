"""gcloud's dev_appserver.py with an application, while it is needed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import certifi
import pytest
from google_sdk import sdk_python, sdk_root

START_SECONDS = 60
ADMINISTRATOR = {"X-AppEngine-Fake-Is-Admin": "1"}
"""What its own cron and queues send, so that `login: admin` lets them in as App Engine does."""

_PYTHON = """#!/bin/sh
# In the place of the Python of the runtime. The virtual environment that is asked of it has what the tests are run
# with, so that nothing is installed.
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\nexit 0\\n' >"$3/bin/pip"
    printf '#!/bin/sh\\nexec "{python}" -m gunicorn "$@"\\n' >"$3/bin/gunicorn"
    exec chmod 755 "$3/bin/pip" "$3/bin/gunicorn"
fi
exec "{python}" "$@"
"""


@dataclass(frozen=True)
class Answer:
    """What it answered: the status, the headers with small names, and the text."""

    status: int
    headers: dict
    text: str


@dataclass(frozen=True)
class DevAppserver:
    """One that runs, at a port of this machine."""

    port: int
    log: Path

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def get(self, path, **headers):
        """Requests a path, follows no redirect; ``X_Name`` is the header X-Name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers=sent)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read().decode())
        finally:
            connection.close()

    def sign_in(self, email, *, is_admin):
        """Signs somebody in on its login page; answers the cookie."""
        asked = {"email": email, "admin": is_admin, "action": "Login", "continue": f"{self.url}/"}
        answer = self.get(f"/_ah/login?{urlencode(asked)}")
        assert answer.status == 302, answer
        return answer.headers["set-cookie"].partition(";")[0]


@contextmanager
def running_dev_appserver(app_yaml, folder, project, environ):
    """dev_appserver.py on ports that are free, for an app.yaml; what it writes lies in ``folder``.

    ``environ`` is what the application is given besides. Skips where the SDK has none. It and everything that it
    has started is ended, by the process group that it leads.
    """
    command = [*_program(), *_options(folder, project), *_variables(environ), str(app_yaml)]
    port = int(command[command.index("--port") + 1])
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "HTTPLIB2_CA_CERTS": certifi.where(),  # gcloud's script, which is left out, would set it
            },
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _await_start(process, log)
            yield DevAppserver(port, log)
        finally:
            _stop(process)


def _program():
    root = sdk_root()
    server = root / "platform" / "google_appengine" / "dev_appserver.py"
    if not server.exists():
        pytest.skip("gcloud's component app-engine-python is not installed")
    # Not by the script in gcloud's bin, which asks elsewhere for updates of its own.
    return [sdk_python(root), str(server)]


def _options(folder, project):
    python = folder / "python3"
    python.write_text(_PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    (folder / "storage").mkdir()
    port, admin, api = _free_ports(3)
    return [
        *("--application", project, "--host", "127.0.0.1", "--port", str(port)),
        *("--admin_host", "127.0.0.1", "--admin_port", str(admin)),
        *("--api_host", "127.0.0.1", "--api_port", str(api)),
        *("--runtime_python_path", str(python), "--storage_path", str(folder / "storage")),
        *("--max_module_instances", "1", "--automatic_restart", "no", "--enable_task_running", "no"),
        *("--skip_sdk_update_check", "yes", "--support_datastore_emulator", "no"),
    ]


def _variables(environ):
    return [each for name, value in environ.items() for each in ("--env_var", f"{name}={value}")]


def _free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _await_start(process, log):
    deadline = time.monotonic() + START_SECONDS
    while "Starting admin server" not in log.read_text(errors="replace"):
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
        pytest.fail(f"dev_appserver.py does not start: {log.read_text(errors='replace')[-2000:]}")


def _stop(process):
    process.terminate()
    with suppress(subprocess.TimeoutExpired):  # what is left of its group ends below, whatever kept it
        process.wait(15)
    with suppress(ProcessLookupError):  # nothing is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
