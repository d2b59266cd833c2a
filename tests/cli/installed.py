"""A directory with an application to install, and a gcloud on the PATH that installs nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FSM_YAML = """\
state_machines:
- name: Order
  queue: orders
  states:
  - name: take
    action: shop.Take
    initial: true
    final: true
"""
CRON_YAML = """\
cron:
- description: "Finds what is overdue"
  url: /fantasm/sweep
  schedule: every 1 minutes
- description: "Deletes what is old"
  url: /fantasm/fsm/FantasmScrubber/?age=90
  schedule: every day 03:00
  timezone: Europe/Zurich
  retry_parameters:
    job_retry_limit: 5
    min_backoff_seconds: 60
"""
QUEUE_YAML = """\
queue:
- name: default
  rate: 10/m
  retry_parameters:
    task_retry_limit: 3
"""
APP_YAML = """\
runtime: python312
env_variables:
  FANTASM_DATABASE: orders
"""
NUMBER = "123456789012"


def write_files(directory, **files):
    """The files of an application; those given are written otherwise, or not at all where they are None."""
    known = {"fsm.yaml": FSM_YAML, "cron.yaml": CRON_YAML, "queue.yaml": QUEUE_YAML, "app.yaml": APP_YAML}
    known |= {"index.yaml": "indexes: []\n"} | {name.replace("_", "."): text for name, text in files.items()}
    for name, text in known.items():
        if text is not None:
            (Path(directory) / name).write_text(text)


class FakeGcloud:
    """The gcloud of a directory: what it is told to answer, and what it was asked."""

    def __init__(self, directory):
        self.place = directory / "fake"
        self.bin = directory / "bin"
        self.place.mkdir()
        self.bin.mkdir()
        script = Path(__file__).with_name("fake_gcloud.py")
        gcloud = self.bin / "gcloud"
        gcloud.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{script}" "$@"\n')
        gcloud.chmod(0o755)
        self.answer({"projects describe acme-prod --format=value": NUMBER})

    def answer(self, answers):
        """What commands that begin with these words print."""
        (self.place / "answers").write_text(json.dumps(answers))

    def fail(self, words):
        """Which command fails; nothing for none."""
        (self.place / "failing").write_text(words)

    @property
    def environ(self):
        """What a process needs to find it."""
        return {"PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin", "FAKE_GCLOUD": str(self.place)}

    def take_calls(self):
        """What it was asked since the last time."""
        calls = self.place / "calls"
        asked = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
        calls.write_text("")
        return asked
