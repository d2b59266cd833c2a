"""DOT and Mermaid: every state and transition, nothing misread."""

from __future__ import annotations

import re

import pytest
from drawn_machines import HARVEST, LOOPS, REVIEW, SUBSCRIBER, machine, pairs, random_machine, state

from fantasm_gcp.core.definition import Machine
from fantasm_gcp.diagram import render_dot, render_mermaid


def test_dot_of_the_documented_example() -> None:
    """The whole text, as a reader sees it."""
    assert render_dot(SUBSCRIBER) == (
        'digraph "SendSubscriberEmail" {\n'
        "  rankdir=LR;\n"
        '  node [shape=box, style="rounded,filled", fillcolor="#f5f7fa",'
        ' fontname="Helvetica,Arial,sans-serif"];\n'
        '  edge [fontname="Helvetica,Arial,sans-serif", fontsize=11];\n'
        '  "SendEmail" [label="SendEmail\\ncontinuation"];\n'
        '  "initial 0" [shape=point, width=0.15, label=""];\n'
        '  "initial 0" -> "SendEmail";\n'
        '  "CountEmail" [label="CountEmail\\nfan-in 3 s\\ntransactional", peripheries=2];\n'
        '  "SendEmail" -> "CountEmail" [label="ok"];\n'
        "}\n"
    )


def test_mermaid_of_the_documented_example() -> None:
    """The whole text, as a reader sees it."""
    assert render_mermaid(SUBSCRIBER) == (
        "stateDiagram-v2\n"
        "  direction LR\n"
        "  SendEmail\n"
        "  CountEmail\n"
        "  [*] --> SendEmail\n"
        "  SendEmail --> CountEmail : ok\n"
        "  CountEmail --> [*]\n"
        "  note right of SendEmail\n"
        "    continuation\n"
        "  end note\n"
        "  note right of CountEmail\n"
        "    fan-in 3 s\n"
        "    transactional\n"
        "  end note\n"
    )


def test_a_join_says_so() -> None:
    """In the label of its node, and in its note."""
    assert '  "Report" [label="Report\\njoin\\ntransactional", peripheries=2];\n' in render_dot(HARVEST)
    assert "  note right of Report\n    join\n    transactional\n  end note\n" in render_mermaid(HARVEST)


@pytest.mark.parametrize("seed", range(20))
def test_dot_holds_every_state_and_transition(seed: int) -> None:
    """Read back by its quoted names, the text gives the machine."""
    drawn = random_machine(seed)
    text = render_dot(drawn)
    states = re.findall(r'^  "([^" ]+)" \[label=', text, re.MULTILINE)
    assert [each.name for each in drawn.states] == states
    edges = re.findall(r'^  "([^"]+)" -> "([^"]+)" \[label="([^"]+)"\];$', text, re.MULTILINE)
    assert pairs(drawn) == [(source, event, target) for source, target, event in edges]
    finals = re.findall(r'^  "([^"]+)" \[.*peripheries=2\];$', text, re.MULTILINE)
    assert [each.name for each in drawn.states if each.final] == finals


def read_mermaid(text: str) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """The aliases with their names, and the transitions by the names."""
    names = {alias: name for name, alias in re.findall(r'^  state "([^"]+)" as (\S+)$', text, re.MULTILINE)}
    names |= {name: name for name in re.findall(r"^  (\w+)$", text, re.MULTILINE)}
    edges = re.findall(r"^  (\w+) --> (\w+) : (\S+)$", text, re.MULTILINE)
    return names, [(names[source], event, names[target]) for source, target, event in edges]


@pytest.mark.parametrize("seed", range(20))
def test_mermaid_holds_every_state_and_transition(seed: int) -> None:
    """Read back through its aliases, the text gives the machine."""
    drawn = random_machine(seed)
    names, edges = read_mermaid(render_mermaid(drawn))
    assert sorted(each.name for each in drawn.states) == sorted(names.values())
    assert pairs(drawn) == edges


@pytest.mark.parametrize("name", ["has-hyphen", "1st", "end", "State", "NOTE", "root", "constructor", "-"])
def test_names_that_mermaid_would_misread_get_an_alias(name: str) -> None:
    """Hyphens, digits in front, words of the language and of JavaScript's objects never stand as an id."""
    text = render_mermaid(machine("M", state(name, ("ok", "B"), initial=True), state("B")))
    assert f'  state "{name}" as s1\n' in text
    assert "  [*] --> s1\n" in text
    assert "  s1 --> B : ok\n" in text


def test_an_alias_never_takes_the_name_of_a_state() -> None:
    """A state that is really called s1 keeps its name."""
    names, _ = read_mermaid(
        render_mermaid(machine("M", state("a-b", initial=True), state("s1"), state("s1x")))
    )
    assert names == {"s1xx": "a-b", "s1": "s1", "s1x": "s1x"}


def test_self_loops_parallels_and_lonely_states_are_written() -> None:
    """What the layout treats specially is nothing special in text."""
    _, edges = read_mermaid(render_mermaid(LOOPS))
    assert pairs(LOOPS) == edges
    assert "  Alone\n" in render_mermaid(LOOPS)


def test_dot_quotes_hostile_text() -> None:
    """Quotes, backslashes, newlines and entities come out as themselves."""
    hostile = machine('m"', state('a"\\', ('e\\N"', "b\n&lt;"), initial=True), state("b\n&lt;"))
    text = render_dot(hostile)
    assert 'digraph "m\\"" {' in text
    assert '  "a\\"\\\\" -> "b\\n&amp;lt;" [label="e\\\\N\\""];' in text


def test_mermaid_turns_special_characters_into_entities() -> None:
    """No colon, semicolon, quote or newline of a name reaches the grammar."""
    text = render_mermaid(machine("m", state('a"\n;', ("e:;", "B"), initial=True), state("B")))
    assert '  state "a#34;#10;#59;" as s1\n' in text
    assert "  s1 --> B : e#58;#59;\n" in text


@pytest.mark.parametrize("render", [render_dot, render_mermaid])
@pytest.mark.parametrize("drawn", [SUBSCRIBER, REVIEW, LOOPS], ids=lambda each: each.name)
def test_the_same_machine_gives_the_same_text(render, drawn: Machine) -> None:  # type: ignore[no-untyped-def]
    """Two renderings are equal."""
    assert render(drawn) == render(drawn)
