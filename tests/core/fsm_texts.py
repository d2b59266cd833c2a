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
