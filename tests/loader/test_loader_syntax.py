"""Mistakes in YAML itself: told where they are made, in words that say what to change."""

from __future__ import annotations

import pytest
import yaml

from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import parse_tree

pytestmark = pytest.mark.parametrize(
    "parser", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)]
)

HEAD = "state_machines:\n- name: M\n"


def told(text, parser):
    """The place, and everything that is said about it, with line and column in front."""
    with pytest.raises(DefinitionError) as caught:
        parse_tree(text, "f", parser)
    (problem,) = caught.value.problems
    return problem.line, problem.column, problem.message, problem.hint


@pytest.mark.parametrize(
    ("lines", "place", "hint"),
    [
        ("  queue: a\n   target: b\n", (4, 10), "line 4 is indented by 3 spaces, line 3 by 2"),
        (" queue: x\n", (3, 2), "line 3 is indented by 1 space, what is in line 2 by 0 or 2"),
        ("  states:\n  - name: A\n    final: on\n   action: x\n", (6, 4),
         "line 6 is indented by 3 spaces, line 5 by 4 and line 4 by 2"),
        ("  states:\n  - name: A\n\n    # a comment\n    final: on\n - name: B\n", (8, 2),
         "line 8 is indented by 1 space, line 4 by 2 and line 2 by 0"),
        ("  states:\n  - name: A\n    final: on\n    - name: B\n", (6, 5),
         "line 6 is indented by 4 spaces like line 5, but begins with a dash"),
    ],
)  # fmt: skip
def test_a_wrong_indentation_is_compared_with_its_neighbours(lines, place, hint, parser):
    """The parsers only say that they expected something else; comments and empty lines do not count."""
    line, column, message, said = told(HEAD + lines, parser)
    assert place == (line, column)
    assert message.startswith("YAML error")
    assert hint == said


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        (
            "  states:\n  - name: A\n    transitions:\n    - event:go\n      to: B\n",
            (6, 12),
            "write 'event: go'",
        ),
        ("  queue:x\n  states: []\n", (3, 8), "write 'queue: x'"),
        ("  states:\n  - name: A\n  -name: B\n    final: on\n", (5, 3), "write '- name:'"),
        ("  states:\n  -name: A\n    final: on\n", (4, 3), "write '- name:'"),
    ],
)
def test_a_missing_space_is_told_where_it_is_missing(text, place, hint, parser):
    """YAML takes such a line for text and complains of a later one."""
    line, column, message, said = told(HEAD + text, parser)
    assert place == (line, column)
    assert message.startswith("YAML error: there is no space after the ")
    assert hint == said


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("- name: 'M\n  states:\n  - name: A\n", (1, 9)),
        ('- name: "M\n  states:\n  - name: A\n', (1, 9)),
        ("- name: M\n  queue: 'q\n  states:\n  - name: 'A'\n", (2, 10)),
        ('- name: M\n  queue: "q\n  states:\n  - name: "A"\n', (2, 10)),
        ("- name: M\n  states: ['a', 'b]\n  queue: 'q'\n", (2, 17)),
    ],
)
def test_an_open_quote_is_told_where_it_begins(text, place, parser):
    """Not at the end of the file, nor where the next quote closes it."""
    line, column, message, _ = told(text, parser)
    assert (*place, "YAML error: the quote that begins here is not closed in its line") == (
        line,
        column,
        message,
    )


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c\n",
        "- {name: M, states: []\n- name: X\n",
        "- [\n- name: X\n",
        "http://x\ny: 1: 2\n",
        "a: it's\nb: 'x' y\n",
        "a: 1\n'b' 'c'\n",
        "-other: 1\n  b: 2\n c: 3\n" * 3,
        "\t- a: b\n",
        "- " * 3000 + "a:b: c: d\n",
        "'" * 999 + "\n" + "-" * 5000 + "'x: y: z",
        "x\n" * 3000 + "a: b: c\n",
    ],
)
def test_other_mistakes_are_told_as_the_parser_does(text, parser):
    """Nothing is guessed: neither a quote, nor a space, nor where it was to stand."""
    _, _, message, _ = told(text, parser)
    assert "nested" in message or "deeper" in message or message.startswith("YAML error")
    assert "there is no space" not in message
