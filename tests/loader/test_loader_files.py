"""Files and YAML as they come: broken, hostile, or merely odd, never a bare traceback."""

from __future__ import annotations

import pytest
import yaml

from fantasm_gcp.core.node import Broken, Mapping, Node, Scalar, Sequence
from fantasm_gcp.core.parse import BUILT_IN_MACHINES
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import (
    MAX_DEPTH,
    MAX_NODES,
    load_definitions,
    parse_text,
    parse_tree,
)

SMALL = "state_machines: [{name: M, states: [{name: S, initial: true, final: true}]}]"

VALID = """\
# Counts mails.
state_machines:
- &mail
  name: Mail
  namespace: shop.mail
  queue: 'mails'
  task_retry_limit: 5
  min_backoff_seconds: 1
  max_backoff_seconds: 0.5e+2
  states:
  - name: Send
    action: Send
    initial: true
    continuation: yes
    transitions:
    - {event: ok, to: Count, queue: counts}
    - event: "on"
      to: Send
      max_doublings: 2
  - name: Count
    action: >-
      Count
    final: true
    fan_in: 3
- {<<: *mail, name: Copy}
"""


def told(text: str) -> list[str]:
    """Every problem of a text as ``line:column: message; hint``; nothing if it is fine."""
    try:
        found = parse_text(text, "f").warnings
    except DefinitionError as error:
        found = error.problems
    return [str(problem).splitlines()[0].removeprefix("f:").replace(" error:", "") for problem in found]


# Files


def test_a_file_is_loaded_by_its_path(tmp_path):
    """The path may be text or a Path; loading again gives an equal value."""
    path = tmp_path / "fsm.yaml"
    path.write_text(VALID, encoding="utf-8")
    assert ["Mail", "Copy", *BUILT_IN_MACHINES] == list(load_definitions(path).machines)
    assert load_definitions(path) == load_definitions(str(path))
    assert parse_text(VALID, "f") == load_definitions(path, built_in=None)


def test_a_byte_order_mark_and_other_line_ends_change_nothing(tmp_path):
    """Editors on other systems write them; places stay right."""
    path = tmp_path / "fsm.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())
    loaded = load_definitions(path, built_in=None)
    assert parse_text(VALID, "f") == loaded
    place = loaded.places["Mail", "states", "Send"]
    assert (place.line, place.column, place.source) == (11, 11, "  - name: Send")


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b", "x" * 5000])
def test_a_file_that_cannot_be_read_is_a_problem_with_its_name(tmp_path, name):
    """A missing file, a directory, a name no system takes."""
    path = f"{tmp_path}/{name}"
    with pytest.raises(DefinitionError) as caught:
        load_definitions(path)
    (problem,) = caught.value.problems
    missing = f"there is no file 'missing.yaml' in {tmp_path}"
    assert problem.message.startswith(missing if name == "missing.yaml" else "the file cannot be read: ")
    assert (path, 1, 1) == (problem.file, problem.line, problem.column)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_that_is_not_utf_8_is_a_problem_at_the_first_wrong_byte(tmp_path, mark):
    """Latin-1 text, with and without a byte order mark before it."""
    path = tmp_path / "fsm.yaml"
    path.write_bytes(mark + "state_machines:\n- name: ä".encode() + "ü".encode("latin-1"))
    with pytest.raises(DefinitionError) as caught:
        load_definitions(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 10)
    assert problem.hint == "save it in the encoding UTF-8"


def test_a_file_in_utf_16_is_a_problem(tmp_path):
    """YAML allows it, this library wants one encoding."""
    path = tmp_path / "fsm.yaml"
    path.write_text(VALID, encoding="utf-16")
    with pytest.raises(DefinitionError, match="the file is not UTF-8"):
        load_definitions(path)


# YAML


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "~", "\ufeff", "null"]
)
def test_a_file_without_content_is_called_empty(text):
    """Nothing, white space, comments, or a null."""
    assert told(text) == ["1:1: the file is empty; it begins with 'state_machines:'"]


@pytest.mark.parametrize("parser", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: b: c", 1, 5),
        ("a: 'x", 1, 4),
        ("a:\n\tb: 1", 2, 1),
        ("- a\nb: 1", 2, 1),
        ("a: @b", 1, 4),
        ("%YAML 3.0\n---\na", 1, 1),
        ("a: \\\x07", 1, 5),
        ("a\r\nb\u2028\ud800", 3, 1),
        ("a: \ufeff", 1, 4),
    ],
)
def test_what_is_no_yaml_is_one_problem_with_its_place(parser, text, line, column):
    """Both parsers of PyYAML say so at the same place, in words of their own."""
    with pytest.raises(DefinitionError) as caught:
        parse_tree(text, "f", parser)
    (problem,) = caught.value.problems
    assert ("f", line, column) == (problem.file, problem.line, problem.column)


def test_a_tab_in_the_indentation_is_named():
    """The parser only says that a character cannot start a token."""
    (problem,) = told("state_machines:\n\t- name: M\n")
    assert problem.endswith("YAML does not allow tabs for indentation; use spaces")
    (problem,) = told("a:\t'b' c")
    assert "tabs" not in problem


def test_a_second_document_is_refused():
    """Its machines would be lost without a word."""
    assert told(SMALL + "\n--- {}") == [
        "2:1: a second document begins here; a definition file is one document"
    ]
    assert told("---\n" + SMALL + "\n...\n") == []


def test_anchors_and_merge_keys_work():
    """What is written goes before what is merged, and of several merges the first wins."""
    text = """\
state_machines:
- name: M
  states:
  - &a {name: A, action: x.A, initial: true, final: true, transitions: &t [{event: e, to: B}]}
  - {<<: *a, name: B, initial: false}
  - name: C
    action: x.C
    <<: [{final: on, fan_in: 3}, *a]
    initial: false
"""
    a, b, c = parse_text(text, "f").machines["M"].states
    assert ("B", "x.A", False, True, a.transitions) == (b.name, b.action, b.initial, b.final, b.transitions)
    assert ("C", "x.C", False, 3, a.transitions) == (c.name, c.action, c.initial, c.fan_in, c.transitions)


def test_a_mistake_in_what_is_merged_is_told_once():
    """It is one mistake, in one place, however many use it."""
    text = VALID.replace("max_doublings: 2", "max_doublings: -2")
    assert told(text) == ["19:22: max_doublings -2 must be 0 or more"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("<<: 3", "3:3: << merges mappings only"),
        ("<<: [3]", "3:3: << merges mappings only"),
        ("<<: *none", "3:7: there is no anchor &none above"),
        ("queue: *q", "3:10: there is no anchor &q above"),
        (
            "queue: !!python/object:os.system x",
            "3:10: the tag 'tag:yaml.org,2002:python/object:os.system' is not allowed",
        ),
        ("queue: !secret x", "3:10: the tag '!secret' is not allowed"),
        ("queue: !!binary aGk=", "3:10: the tag 'tag:yaml.org,2002:binary' is not allowed"),
        ("task_retry_limit: !!int abc", "3:21: 'abc' cannot be read as int"),
        ("task_retry_limit: !!int ''", "3:21: '' cannot be read as int"),
        ("queue: !!bool maybe", "3:10: 'maybe' cannot be read as bool"),
        ("? [a]\n  : b", "3:5: the name of an attribute must be text"),
        ("? {a: b}\n  : b", "3:5: the name of an attribute must be text"),
        ("? !x a\n  : b", "3:5: the tag '!x' is not allowed"),
        (
            "queue: q\n  queue: r",
            "4:3: 'queue' is written twice in machine 'M'; the first is at line 3, column 3",
        ),
        ("queue: &q [*q]", "3:10: queue must be a single value, not a list"),
    ],
)
def test_yaml_that_is_of_no_use_is_told_with_its_place(written, message):
    """Well-formed is not enough."""
    text = f"state_machines:\n- name: M\n  {written}\n  states: [{{name: S, initial: true, final: true}}]\n"
    assert [message] == told(text)


def test_a_tag_of_no_use_on_a_list_or_mapping_is_told():
    """A set is not a mapping of attributes."""
    assert told("state_machines: !!omap []") == ["1:17: the tag 'tag:yaml.org,2002:omap' is not allowed"]
    assert told("!!set {a}") == ["1:1: the tag 'tag:yaml.org,2002:set' is not allowed"]
    assert (
        told(SMALL.replace("[", "!!seq [").replace("{", "!!map {").replace("name: !!", "name: !!str ")) == []
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("&a {state_machines: *a}", "1:21: the alias *a is inside of what it stands for"),
        ("state_machines: &a [*a]", "1:21: the alias *a is inside of what it stands for"),
        (
            "state_machines: &a [{name: M, states: *a}]",
            "1:39: the alias *a is inside of what it stands for",
        ),
        ("&a {<<: *a}", "1:9: the alias *a is inside of what it stands for"),
    ],
)
def test_an_alias_within_what_it_stands_for_is_refused(text, message):
    """A file that contains itself has no end."""
    assert message in told(text)


def test_aliases_that_would_fill_the_memory_are_refused():
    """Twenty lines can stand for a billion values; they are counted before they are used."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    (problem,) = told("\n".join(lines))
    assert f"the file has more than {MAX_NODES} keys and values" in problem


def test_merged_mappings_that_would_fill_the_memory_are_refused():
    """The same through merge keys."""
    lines = ["- &a0 {k0: 1}"]
    lines += [f"- &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 40)]
    (problem,) = told("\n".join(lines))
    assert f"the file has more than {MAX_NODES} keys and values" in problem


@pytest.mark.parametrize("parser", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_without_end_is_refused(parser, opening):
    """Long before Python's stack is exhausted."""
    with pytest.raises(DefinitionError, match=f"the nesting is deeper than {MAX_DEPTH}"):
        parse_tree(opening * 2000, "f", parser)


def test_a_large_machine_is_within_the_bounds():
    """A thousand states with five transitions each are no attack."""
    transitions = ", ".join(f"{{event: e{n}, to: S0}}" for n in range(5))
    states = "\n".join(
        f"  - {{name: S{n}, action: a.B, initial: {'yes' if n == 0 else 'no'}, final: yes, "
        f"transitions: [{transitions}]}}"
        for n in range(1000)
    )
    found = told(f"state_machines:\n- name: M\n  states:\n{states}\n")
    assert len(found) == 999
    assert {"warning"} == {each.split(": ")[1] for each in found}


def same(one: Node, other: Node) -> bool:
    """Whether two trees say the same at the same places."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        pairs = [
            pair for a, b in zip(one.entries, other.entries, strict=True) for pair in zip(a, b, strict=True)
        ]
        return one.place == other.place and all(same(a, b) for a, b in pairs)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        return one.place == other.place and all(
            same(a, b) for a, b in zip(one.items, other.items, strict=True)
        )
    return isinstance(one, Scalar | Broken) and one == other


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="PyYAML was built without libyaml")
@pytest.mark.parametrize(
    "text", [VALID, VALID.replace("\n", "\r\n"), VALID.replace("\n", "\r"), "a: ä😀 \nb: [1,\u2028 2]"]
)
def test_both_parsers_make_the_same_tree(text):
    """Places do not depend on how PyYAML was built."""
    assert same(parse_tree(text, "f", yaml.SafeLoader), parse_tree(text, "f", yaml.CSafeLoader))
