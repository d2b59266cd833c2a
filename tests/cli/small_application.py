"""A small application: its files, and writing them somewhere."""

from __future__ import annotations

from pathlib import Path

APP = """
import os
from flask import Flask
from fantasm_gcp import Fantasm, Settings
app = Flask(__name__)
fantasm = Fantasm(app, Settings.from_environ(os.environ))
"""

ACTIONS = """
from google.cloud import datastore
from fantasm_gcp import DatastoreContinuationFSMAction, FSMAction

class Send(DatastoreContinuationFSMAction):
    def get_query(self, context, obj):
        return context.datastore.query(kind="Guest")

    def execute(self, context, obj):
        if obj.result is None:
            return None
        sent = datastore.Entity(context.datastore.key("Sent"))
        sent.update(instance=context.instance_name, to=obj.result.key.name)
        context.put(sent)
        return None

class Choose(FSMAction):
    def execute(self, context, obj):
        if context.get("way") == "wrong":
            return "nowhere"
        return "on"

class Leave(FSMAction):
    def execute(self, context, obj):
        context["left"] = True

class Note(FSMAction):
    def execute(self, context, obj):
        client = datastore.Client()  # an application's own, led here by the environment alone
        client.put(datastore.Entity(client.key("Note", context.instance_name)))
"""

DEFINITIONS = """\
state_machines:
- name: Party
  namespace: party_actions
  states:
  - name: Send
    action: Send
    initial: true
    final: true
    continuation: true
- name: Walk
  namespace: party_actions
  states:
  - name: Choose
    action: Choose
    initial: true
    transitions:
    - event: 'on'
      to: Leave
  - name: Leave
    action: Leave
    final: true
- name: Errand
  namespace: party_actions
  states:
  - name: Note
    action: Note
    initial: true
    final: true
"""

DEMO = """
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter
from fantasm_gcp.local.dev.demo import DemoOutcome

MACHINE = "Party"
GUESTS = {guests}

def seed(client):
    client.put_multi([datastore.Entity(client.key("Guest", f"guest-{{n}}")) for n in range(GUESTS)])

def total(client):
    return GUESTS

def outcome(client, instance):
    query = client.query(kind="Sent", filters=[PropertyFilter("instance", "=", instance)])
    sent = [each["to"] for each in query.fetch()]
    ok = len(sent) == len(set(sent)) == {expected}
    return DemoOutcome(ok, (f"{{len(sent)}} invitations sent",))
"""


def write_project(directory: Path) -> Path:
    """Puts the application into a new directory."""
    directory.mkdir()
    files = {
        "main.py": APP,
        "party_actions.py": ACTIONS,
        "fsm.yaml": DEFINITIONS,
        "small_demo.py": DEMO.format(guests=5, expected="GUESTS"),
        "wrong_demo.py": DEMO.format(guests=5, expected="GUESTS + 1"),
        "large_demo.py": DEMO.format(guests=200, expected="GUESTS"),
    }
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory
