"""Nothing that Fantasm's users rely on is forgotten: each behaviour has a test, or a line that says why not."""

from __future__ import annotations

import re
from collections import Counter
from importlib import import_module

import pytest
from behaviours import BEHAVIOURS, OLD_FAULTS, SECTIONS, WEAK_SPOTS
from tables import (
    DOCS,
    TESTS,
    Difference,
    Mark,
    all_differences,
    all_marks,
    differences_in,
    marks_in,
    shown_by,
)

IN_ANOTHER_FORM = "Kept, in another form"
"""The section whose lines tell of kept behaviours: they are no excuse for having no test."""

AS_IT_WAS = "As it was"


def differing() -> set[str]:
    """What a line says is different, or gone."""
    kept = (IN_ANOTHER_FORM, AS_IT_WAS)
    return {number for line in all_differences() if line.section not in kept for number in line.numbers}


def test_every_behaviour_is_described_once():
    """The numbers are 1 to 232, in order, and no two say the same."""
    assert list(range(1, 233)) == list(BEHAVIOURS)
    assert len(BEHAVIOURS) == sum(map(len, SECTIONS.values())) == len(set(BEHAVIOURS.values()))
    assert [] == [text for text in BEHAVIOURS.values() if "\n" in text or "|" in text or text[-1] != "."]


@pytest.mark.parametrize("section", SECTIONS)
def test_no_behaviour_is_without_a_test_or_a_line(section):
    """A kept behaviour has a test that cites it; one that is not kept has a line that says why."""
    shown, excused = shown_by(), differing()
    missing = [
        f"{number}: {text}"
        for number, text in SECTIONS[section].items()
        if number not in shown and str(number) not in excused
    ]
    assert not missing, "\n".join(["neither a test nor a line:", *missing])


def test_marks_cite_numbers_that_there_are():
    """Written as numbers, where a reader finds them; each mark cites one at least."""
    wrong = [
        f"{mark.file}::{mark.test} cites {mark.cited}"
        for mark in all_marks()
        if not mark.cited or not set(mark.cited) <= set(BEHAVIOURS)
    ]
    assert [] == wrong


def test_marks_are_on_what_pytest_runs():
    """A mark on a fixture or a helper shows nothing."""
    wrong = [
        f"{mark.file}::{mark.test}"
        for mark in all_marks()
        if not re.fullmatch(r"(.*/)?test_\w+\.py", mark.file)
        or (mark.test and not re.match(r"test_|Test", mark.test.rpartition("::")[2]))
    ]
    assert [] == wrong


def test_every_line_has_an_anchor_a_title_and_numbers():
    """So that the table can lead to it; the numbers are of behaviours, old faults or weak spots."""
    known = {*map(str, BEHAVIOURS), *OLD_FAULTS, *WEAK_SPOTS}
    wrong = [
        line
        for line in all_differences()
        if not (line.anchor and line.title and line.numbers) or not set(line.numbers) <= known
    ]
    assert [] == wrong


def test_an_anchor_leads_to_one_line():
    """They are as many as the lines, and every link to one finds it."""
    page = (DOCS / "migrating.md").read_text()
    anchors = Counter(re.findall(r'<a id="([\w-]+)">', page))
    assert {line.anchor: 1 for line in all_differences()} == anchors
    assert set(re.findall(r"\]\((?:migrating\.md)?#([\w-]+)\)", page)) <= set(anchors)


def test_the_imports_that_the_guide_names_are_there():
    """Whoever changes them as it says gets what was meant."""
    page = (DOCS / "migrating.md").read_text()
    named = re.findall(r"from (fantasm_gcp[\w.]*) import ([\w, ]+)", page)
    assert len(named) > 6
    for module, names in named:
        assert [] == [each for each in names.split(", ") if not hasattr(import_module(module), each)]


def test_no_line_repeats_a_number():
    """Nor mentions one twice by a range that overlaps."""
    repeated = [line.anchor for line in all_differences() if len(set(line.numbers)) < len(line.numbers)]
    assert [] == repeated


def test_what_is_as_it_was_has_tests_and_no_excuses():
    """Lines that say that nothing changed cite only what Fantasm had no test for."""
    cited = {number for line in all_differences() if line.section == AS_IT_WAS for number in line.numbers}
    assert cited <= {*OLD_FAULTS, *WEAK_SPOTS}


def test_every_old_fault_has_a_line():
    """Gone, different, or the same: somebody who relied on it finds it."""
    cited = {number for line in all_differences() for number in line.numbers}
    assert [] == [fault for fault in OLD_FAULTS if fault not in cited]


def test_marks_are_found_wherever_pytest_takes_them():
    """On functions, classes, methods, parameters, and for a whole file."""
    source = """
pytestmark = [pytest.mark.slow, pytest.mark.fantasm(1)]
@pytest.mark.fantasm(2, 3)
@pytest.mark.parametrize("a", [pytest.param(1, marks=pytest.mark.fantasm(4))])
def test_one(a): pass
@pytest.mark.fantasm(5)
class TestTwo:
    pytestmark = pytest.mark.fantasm(6)
    @pytest.mark.fantasm(*range(7, 9))
    async def test_three(self): pass
@pytest.mark.other(10)
def test_four(): "pytest.mark.fantasm(11)"
"""
    assert [
        Mark("f", "", (1,)),
        Mark("f", "test_one", (2, 3)),
        Mark("f", "test_one", (4,)),
        Mark("f", "TestTwo", (5,)),
        Mark("f", "TestTwo", (6,)),
        Mark("f", "TestTwo::test_three", ("*range(7, 9)",)),
    ] == list(marks_in(source, "f"))


def test_lines_are_read_with_their_numbers():
    """Ranges, kinds, numbers that go over a line's end; brackets elsewhere, code and prose are none."""
    page = """# Page
- before any section (1)
## First
1. A step (2).
```
- code (3)
```
- <a id="a"></a>**Two
  lines.** Text (of 2011). (4, 6
  to 8; U1 to U3)
- **No anchor.** Text (5).
## Second

- <a id="b"></a>**Comma,** text. (9)
  <!-- end -->
- <a id="c"></a>No title. (10)
"""
    assert [
        Difference("First", "a", "Two lines", ("4", "6", "7", "8", "U1", "U2", "U3")),
        Difference("First", "", "No anchor", ()),
        Difference("Second", "b", "Comma", ()),
        Difference("Second", "c", "", ("10",)),
    ] == differences_in(page)


def test_the_tests_that_are_named_are_there():
    """The table's links lead to files of this project."""
    assert all((TESTS / mark.file).is_file() for mark in all_marks())
