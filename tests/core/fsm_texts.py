"""Definition files for tests, and what is said about them."""

from __future__ import annotations

from fantasm_gcp.core.definition import Machine
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import parse_text

VALID = """\
state_machines:
- name: Mail
  namespace: shop.mail
  queue: mails
  states:
  - name: Send
    action: Send
    initial: true
    continuation: true
    transitions:
    - event: ok
      to: Count
  - name: Count
    action: Count
    final: true
    fan_in: 3
"""

EVERYTHING = """\
root_url: /office/flows
enable_capabilities_check: false
state_machines:
- name: Report
  namespace: shop.reports
  queue: reports
  target: v2.worker
  countdown: {minimum: 1.5, maximum: '30'}
  task_retry_limit: '3'
  min_backoff_seconds: 1
  max_backoff_seconds: 60
  max_doublings: 4
  task_age_limit: 86400
  context_types: {since: datetime, pages: int, owner: shop.owners.parse}
  logging: persistent
  use_run_once_semaphore: true
  guarantee: exactly_once
  on_complete: [Report-2, 'https://hooks.example/reports?of=all']
  on_failure: http://localhost:8080/failed
  pin_version: true
  states:
  - name: Open
    action: Open
    entry: open_door
    initial: true
    transitions:
    - event: opened
      to: Page
      queue: fast
      target: default
      countdown: 0
      max_retries: 7
      max_doublings: 1
    - {event: empty, to: Done, action: note, namespace: shop.notes, countdown: 3600}
  - name: Page
    namespace: shop.pages
    action: Page
    entry: turn
    continuation: true
    continuation_countdown: 2.5
    transitions:
    - {event: read, to: Sum}
  - name: Sum
    action: Sum
    entry: begin_sum
    fan_in: 30
    fan_in_group: owner
    transactional: true
    transitions:
    - {event: summed, to: Check}
  - name: Check
    action: Check
    join: true
    fan_in_max: 50
    on_error: doubtful
    transitions:
    - {event: checked, to: Close}
    - {event: doubtful, to: Done}
  - name: Close
    action: Close
    exit: shop.doors.lock_up
    transitions:
    - {event: closed, to: Done, action: count_down}
  - name: Done
    entry: ring
    exit: leave
    final: true
- name: Report-2
  states:
  - {name: End, initial: true, final: true}
"""

# The blocks of Fantasm's published tutorial, as it prints them, with a namespace for the modules of their
# actions, which it leaves out.
TUTORIAL_REVIEW = """\
# fsm.yaml
state_machines:
- name: MyMachine
  namespace: tutorial

states:
- name: InitialState
  action: InitialStateClass
  initial: True
  transitions:
  - to: ReviewAndRecoverState
    event: review
  - to: FinalState
    event: ok

- name: ReviewAndRecoverState
  action: ReviewAndRecoverStateClass
  final: True
  transitions:
  - to: FinalState
    event: ok

- name: FinalState
  action: FinalStateClass
  final: True
"""
TUTORIAL_SEND = """\
state_machines:
- name: SendSubscriberEmail
  namespace: tutorial

states:
- name: SendEmail
  action: SendEmail
  continuation: True
  initial: True
  final: True
"""
TUTORIAL_COUNT = """\
state_machines:
- name: SendSubscriberEmail
  namespace: tutorial

states:
- name: SendEmail
  action: SendEmail
  continuation: True
  initial: True
  transitions:
    - to: CountEmail
    - event: ok

- name: CountEmail
  action: CountEmail
  final: True
"""
TUTORIAL_FAN_IN = TUTORIAL_COUNT + "  fan_in: 3\n"


def problems(text: str) -> list[str]:
    """Every problem of a text as ``line:column: severity: message; hint``; nothing if it is fine."""
    try:
        found = parse_text(text, "fsm.yaml").warnings
    except DefinitionError as error:
        found = error.problems
    return [str(problem).splitlines()[0].removeprefix("fsm.yaml:") for problem in found]


def one_state(attributes: str, machine: str = "") -> str:
    """A machine with attributes of a state at line 6, column 5, and one of the machine at line 3."""
    return (
        f"state_machines:\n- name: M\n  {machine or 'queue: q'}\n  states:\n"
        f"  - {{name: Other, action: a.B, initial: true, final: true, transitions: [{{event: go, to: S}}]}}\n"
        f"  - {attributes}\n    name: S\n    action: a.B\n    final: true\n"
    )


def with_transition(attributes: str, machine: str = "queue: q") -> str:
    """A machine with one transition whose attributes stand at line 8 from column 7."""
    return (
        f"state_machines:\n- name: M\n  {machine}\n  states:\n"
        "  - name: S\n    action: a.B\n    transitions:\n"
        f"    - {attributes}\n      to: S\n    initial: true\n    final: true\n"
    )


def machine_of(text: str) -> Machine:
    """The only machine of a text."""
    (machine,) = parse_text(text, "fsm.yaml")
    return machine
