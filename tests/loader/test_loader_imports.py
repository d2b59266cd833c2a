"""Definitions of several files: what is imported, from where, once, and every problem in its own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fantasm_gcp.core.files import MAX_IMPORT_DEPTH, Source
from fantasm_gcp.core.parse import parse_definitions
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import load_definitions, parse_text, parse_tree


def machine(name: str, line: str = "") -> str:
    """A file of one machine; a further line of the machine is the third."""
    extra = f"  {line}\n" if line else ""
    return f"state_machines:\n- name: {name}\n{extra}  states: [{{name: S, initial: on, final: on}}]\n"


def write(directory: Path, **files: str) -> Path:
    """Writes files, ``a__b`` as ``a/b.yaml``; gives the path of ``fsm.yaml``."""
    for name, text in files.items():
        path = directory / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory / "fsm.yaml"


def names(path: Path) -> list[str]:
    return list(load_definitions(path, built_in=None).machines)


def told(path: Path) -> list[str]:
    """The problems of a file, with the names of files as seen from its directory."""
    with pytest.raises(DefinitionError) as caught:
        load_definitions(path, built_in=None)
    return [str(each).splitlines()[0].replace(f"{path.parent}/", "") for each in caught.value.problems]


@pytest.mark.fantasm(77)
@pytest.mark.parametrize("written", ["import: [a.yaml, b.yaml]", "import:\n- a.yaml\n- ./b.yaml"])
def test_a_file_may_only_import(tmp_path, written):
    """All machines of the imported files are there, in the order in which they are imported."""
    path = write(tmp_path, fsm=written + "\n", a=machine("A"), b=machine("B"))
    assert ["A", "B"] == names(path)


@pytest.mark.fantasm(77, 82)
def test_a_file_may_only_import_in_its_list_of_machines(tmp_path):
    """Fantasm's own form, several of them, with relative names; without a warning."""
    path = write(
        tmp_path,
        fsm="state_machines:\n- import: a.yaml\n- import: parts/b.yaml\n- import: [c.yaml]\n",
        a=machine("A"),
        parts__b="state_machines: [{import: ../d.yaml}]\n",
        c=machine("C"),
        d=machine("D"),
    )
    assert ["A", "D", "C"] == names(path)
    assert () == load_definitions(path).warnings


@pytest.mark.fantasm(78, 79)
def test_imports_in_the_list_may_be_mixed_with_machines(tmp_path):
    """The file's own machines come first, and its root holds; an import of the file itself is one more."""
    path = write(
        tmp_path,
        fsm="root_url: /another-root/\nstate_machines:\n- import: a.yaml\n"
        "- name: Own\n  states: [{name: S, initial: on, final: on}]\n"
        "- import: b.yaml\nimport: c.yaml\n",
        a=machine("A"),
        b=machine("B"),
        c=machine("C"),
    )
    assert ["Own", "A", "B", "C"] == names(path)
    assert "/another-root" == load_definitions(path).root
    text = path.read_text().replace("import: c.yaml\n", "")
    path.write_text("import: c.yaml\n" + text)
    assert ["Own", "C", "A", "B"] == names(path)


@pytest.mark.fantasm(81)
def test_a_circle_of_imports_in_the_list_is_told(tmp_path):
    """At the name that closes it."""
    path = write(tmp_path, fsm="state_machines:\n- import: fsm.yaml\n")
    assert told(path) == [
        "fsm.yaml:2:11: error: the import goes in a circle: fsm.yaml imports fsm.yaml; "
        "a file need not import what imports it"
    ]


def test_a_file_that_imports_may_have_an_empty_list_of_machines(tmp_path):
    """Wherever the import stands; one that does not import may not."""
    for text in ("state_machines: []\nimport: a.yaml\n", "import: a.yaml\nstate_machines: []\n"):
        assert ["A"] == names(write(tmp_path, fsm=text, a=machine("A")))
    alone = write(tmp_path, fsm="state_machines: []\n")
    assert ["fsm.yaml:1:17: error: state_machines is empty; a machine is needed"] == told(alone)
    unsaid = write(tmp_path, fsm="state_machines:\nimport: a.yaml\n")
    assert told(unsaid) == ["fsm.yaml:1:1: error: state_machines has no value; write one, or remove the line"]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("import: a.yaml\n  queue: x", "2:3: error: an import stands in an item of its own"),
        ("name: M\n  import: a.yaml", "3:3: error: an import stands in an item of its own"),
        ("import: a.yaml\n  name: M\n  states: [{name: S, initial: on, final: on}]",
         "2:3: error: an import stands in an item of its own"),
        ("import: a.yaml\n  import: b.yaml", "2:3: error: an import stands in an item of its own"),
        ("import:", "2:3: error: import has no value"),
        ("import: {a: b}", "2:11: error: import must be a file's name or a list of them, not a mapping"),
        ("import: !x a", "2:11: error: the tag '!x' is not allowed"),
    ],
)  # fmt: skip
def test_an_import_in_the_list_that_is_not_alone_or_no_name_is_one_error(item, expected):
    """What follows from it is not told."""
    with pytest.raises(DefinitionError) as caught:
        parse_text(f"state_machines:\n- {item}\n", "fsm.yaml")
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"fsm.yaml:{expected}")


def test_an_import_in_the_list_is_no_machine_without_states(tmp_path):
    """The tutorial's states beside the machines are those of the one machine."""
    path = write(
        tmp_path,
        fsm="state_machines:\n- import: a.yaml\n- name: M\nstates: [{name: S, initial: on, final: on}]\n",
        a=machine("A"),
    )
    assert ["M", "A"] == names(path)


@pytest.mark.fantasm(78)
def test_imports_and_machines_may_be_mixed(tmp_path):
    """A file's own machines come first, then what it imports, and what that imports in turn."""
    path = write(
        tmp_path,
        fsm="import: [a.yaml, c.yaml]\n" + machine("Own"),
        a="import: b.yaml\n" + machine("A"),
        b=machine("B"),
        c=machine("C"),
    )
    assert ["Own", "A", "B", "C"] == names(path)


@pytest.mark.fantasm(82)
def test_a_name_is_relative_to_the_file_that_imports_it(tmp_path, monkeypatch):
    """Wherever the process runs, also upwards and to absolute names."""
    monkeypatch.chdir("/")
    path = write(
        tmp_path,
        app__fsm="import: parts/a.yaml\n",
        app__parts__a=f"import: [b.yaml, ../../shared/c.yaml, {tmp_path}/d.yaml]\n",
        app__parts__b=machine("B"),
        shared__c=machine("C"),
        d=machine("D"),
    )
    assert ["B", "C", "D"] == names(path.parent / "app" / "fsm.yaml")


def test_a_relative_path_is_imported_from_by_relative_names(tmp_path, monkeypatch):
    """Messages name files as the one that was loaded is named."""
    write(
        tmp_path, fsm="import: parts/a.yaml\n", parts__a="import: ../b.yaml\n", b=machine("B", "colour: red")
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DefinitionError) as caught:
        load_definitions("fsm.yaml")
    assert ["b.yaml"] == [each.file for each in caught.value.problems]


def test_a_path_through_a_link_is_not_shortened(tmp_path):
    """``..`` behind a link to a directory leads to that directory's parent."""
    write(tmp_path, elsewhere__b=machine("B"), elsewhere__deep__x=machine("X"), b=machine("Wrong"))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    assert ["B"] == names(write(tmp_path, fsm="import: link/../b.yaml\n"))


def test_a_file_that_is_reached_twice_is_read_once(tmp_path):
    """By two ways, by two names, through a link."""
    path = write(
        tmp_path,
        fsm="import: [a.yaml, b.yaml, c.yaml, ./c.yaml, link.yaml]\n",
        a="import: c.yaml\n" + machine("A"),
        b="import: c.yaml\n" + machine("B"),
        c=machine("C"),
    )
    (tmp_path / "link.yaml").symlink_to(tmp_path / "c.yaml")
    assert ["A", "C", "B"] == names(path)


def test_problems_of_a_file_that_is_reached_twice_are_told_once(tmp_path):
    """It is one file."""
    path = write(
        tmp_path, fsm="import: [a.yaml, b.yaml]\n", a="import: c.yaml\n", b="import: c.yaml\n", c="["
    )
    assert 1 == len(told(path))


@pytest.mark.fantasm(81)
def test_a_file_that_imports_itself_is_refused(tmp_path):
    """By its own name or another."""
    path = write(tmp_path, fsm="import: ./fsm.yaml\n" + machine("M"))
    assert told(path) == [
        "fsm.yaml:1:9: error: the import goes in a circle: fsm.yaml imports fsm.yaml; "
        "a file need not import what imports it"
    ]


@pytest.mark.fantasm(81)
def test_a_circle_of_imports_is_shown(tmp_path):
    """Only the files of the circle, at the name that closes it."""
    path = write(
        tmp_path,
        fsm="import: a.yaml\n",
        a="import:\n- b.yaml\n" + machine("A"),
        b="import: [sub/c.yaml]\n",
        sub__c="import: ../a.yaml\n" + machine("C"),
    )
    assert told(path) == [
        "sub/c.yaml:1:9: error: the import goes in a circle: a.yaml imports b.yaml imports sub/c.yaml imports "
        "a.yaml; a file need not import what imports it"
    ]


@pytest.mark.fantasm(76)
def test_a_file_that_is_not_there_is_told_where_it_is_named(tmp_path):
    """With a file of a like name, if there is one."""
    path = write(tmp_path, fsm="import:\n- mail.yaml\n- nothing/x.yaml\n- malls.yaml\n", mails=machine("M"))
    assert told(path) == [
        "fsm.yaml:2:3: error: 'mail.yaml' cannot be read: No such file or directory; did you mean 'mails.yaml'?",
        "fsm.yaml:3:3: error: 'nothing/x.yaml' cannot be read: No such file or directory",
        "fsm.yaml:4:3: error: 'malls.yaml' cannot be read: No such file or directory; did you mean 'mails.yaml'?",
    ]


def test_a_file_of_a_name_that_is_hardly_like_it_is_not_suggested(tmp_path):
    """Many files lie beside one another: only a misspelt name is meant."""
    path = write(tmp_path, fsm="import: nope.yaml\n", **{"45nospace": machine("M")})
    assert told(path) == ["fsm.yaml:1:9: error: 'nope.yaml' cannot be read: No such file or directory"]


@pytest.mark.fantasm(76)
def test_a_file_is_loaded_by_its_explicit_name(tmp_path):
    """It need not be called fsm.yaml."""
    write(tmp_path, other=machine("M"))
    assert ["M"] == names(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "is no file"),
        ("/dev/null", "'/dev/null' is no file"),
        ('"a\\0b"', "cannot be read: "),
        ("x" * 300, "cannot be read: "),
    ],
)
def test_a_name_of_no_file_is_told(tmp_path, name, message):
    """Directories, devices, names that no system takes."""
    (problem,) = told(write(tmp_path, fsm=f"import: {name}\n"))
    assert problem.startswith("fsm.yaml:1:9: error: ")
    assert message in problem


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("import:\n", "1:1: error: import has no value; write one, or remove the line"),
        ("import: []\n", "1:9: error: import is empty; write a file's name, or remove the line"),
        ("import: ''\n", "1:1: error: import is empty; write some text, or remove the line"),
        ("import: {a: b}\n", "1:9: error: import must be a file's name or a list of them, not a mapping"),
        ("import: [[a.yaml]]\n", "1:10: error: import must be a single value, not a list"),
        ("import: 3\n", '1:9: error: import must be text, but YAML reads 3 as the number 3; write "3"'),
        ("import: [!x a]\n", "1:10: error: the tag '!x' is not allowed"),
        ("import: *a\n", "1:9: error: there is no anchor &a above"),
        ("imports: a.yaml\n",
         "1:1: error: unknown attribute 'imports' on the file; did you mean 'import'?"),
    ],
)  # fmt: skip
def test_an_import_of_another_shape_is_told(written, expected):
    """It is a name or a list of names; what is wrong with it is the one problem."""
    with pytest.raises(DefinitionError) as caught:
        parse_text(written, "fsm.yaml")
    assert [f"fsm.yaml:{expected}"] == [str(each).splitlines()[0] for each in caught.value.problems]


def test_every_problem_of_every_file_is_told_in_its_file(tmp_path):
    """The file that is loaded first, then the others in the order in which they are imported."""
    path = write(
        tmp_path,
        fsm="import: [z.yaml, gone.yaml, b.yaml]\n" + machine("M", "colour: red"),
        z="state_machines:\n- name: [\n",
        b="import: c.yaml\n" + machine("B_"),
        c="hello\n",
    )
    (tmp_path / "d.yaml").write_bytes(b"\xff")
    found = told(path)
    assert ["fsm.yaml:1", "fsm.yaml:4", "z.yaml:3", "b.yaml:3", "c.yaml:1"] == [
        ":".join(each.split(":")[:2]) for each in found
    ]


def test_an_imported_file_that_is_not_utf_8_is_told(tmp_path):
    """At the first wrong byte, in that file."""
    path = write(tmp_path, fsm="import: a.yaml\n")
    (tmp_path / "a.yaml").write_bytes(b"# \xff")
    assert [
        "a.yaml:1:3: error: the file is not UTF-8: invalid start byte; save it in the encoding UTF-8"
    ] == told(path)


@pytest.mark.fantasm(70)
def test_names_of_machines_are_unique_over_all_files(tmp_path):
    """The message names the file of the first."""
    path = write(tmp_path, fsm="import: [a.yaml, b.yaml]\n", a=machine("M"), b=machine("M"))
    assert [
        f"b.yaml:2:9: error: the name 'M' is taken by another machine; "
        f"the first is in {tmp_path}/a.yaml at line 2, column 9".replace(f"{tmp_path}/", "")
    ] == told(path)


@pytest.mark.fantasm(79, 80)
def test_the_root_is_that_of_the_file_that_is_loaded(tmp_path):
    """Imports do not change it, nor the capabilities check."""
    path = write(
        tmp_path,
        fsm="root_url: /another-root\nenable_capabilities_check: false\nimport: a.yaml\n",
        a=machine("A"),
    )
    found = load_definitions(path)
    assert "/another-root" == found.root
    assert ["enable_capabilities_check has no effect"] == [each.message for each in found.warnings]


@pytest.mark.fantasm(79, 80)
@pytest.mark.parametrize("line", ["root_url: /x", "enable_capabilities_check: false"])
def test_an_imported_file_cannot_say_what_holds_for_all(tmp_path, line):
    """Two files could disagree."""
    path = write(tmp_path, fsm="import: a.yaml\n", a=f"{line}\n" + machine("A"))
    name = line.partition(":")[0]
    assert told(path)[0] == (
        f"a.yaml:1:1: error: an imported file cannot have {name}; write it in fsm.yaml, the file that is loaded"
    )


def test_an_import_must_be_a_definition_itself(tmp_path):
    """An empty file, or one without machines, is hardly what was meant."""
    path = write(tmp_path, fsm="import: [a.yaml, b.yaml]\n", a="", b="import: c.yaml\n", c="{}\n")
    assert told(path) == [
        "a.yaml:1:1: error: the file is empty; it begins with 'state_machines:'",
        "c.yaml:1:1: error: the file has no state_machines",
    ]


def test_warnings_and_places_keep_their_files(tmp_path):
    """Those of the first file come first, whatever its name."""
    path = write(
        tmp_path,
        fsm="import: a.yaml\n" + machine("M", "max_retries: 1"),
        a=machine("A", "max_retries: 2"),
    )
    found = load_definitions(path)
    assert [str(path), str(tmp_path / "a.yaml")] == [each.file for each in found.warnings]
    assert str(tmp_path / "a.yaml") == found.places["A", "task_retry_limit"].file
    assert str(path) == found.places["M", "states", "S"].file


def test_the_tutorials_states_are_looked_for_in_their_own_file(tmp_path):
    """A machine of another file that lacks its states is another mistake."""
    states = "states: [{name: S, initial: on, final: on}]\n"
    path = write(tmp_path, fsm="import: a.yaml\n" + states, a="state_machines: [{name: A}]\n")
    found = told(path)
    assert "fsm.yaml:2:1: error: states belong to a machine" in found[0]
    assert "a.yaml:1:18: error: machine 'A' has no states" == found[1]


def test_a_chain_of_imports_has_an_end(tmp_path):
    """Files made by a program that runs wild do not exhaust the stack."""
    files = {f"f{n}": f"import: f{n + 1}.yaml\n" for n in range(200)}
    path = write(tmp_path, fsm="import: f0.yaml\n", f200=machine("M"), **files)
    assert told(path) == [
        f"f{MAX_IMPORT_DEPTH - 2}.yaml:1:9: error: the imports are deeper than {MAX_IMPORT_DEPTH} files"
    ]
    assert ["M"] == names(tmp_path / f"f{202 - MAX_IMPORT_DEPTH}.yaml")


def test_a_text_imports_relative_to_its_file(tmp_path):
    """What is edited and not yet saved can be checked as well."""
    write(tmp_path, a=machine("A"))
    assert ["A"] == list(parse_text("import: a.yaml\n", f"{tmp_path}/unsaved.yaml").machines)


def test_a_tree_of_no_file_imports_nothing():
    """Without a way to read files, an import is an error at its place, like any that fails."""
    source = Source("text", "text", parse_tree("import: a.yaml\n", "text"))
    with pytest.raises(DefinitionError) as caught:
        parse_definitions(source)
    assert ["text cannot import 'a.yaml': it is no file"] == [each.message for each in caught.value.problems]


def test_a_machine_of_any_file_may_start_at_the_end_of_another(tmp_path):
    """Imported or importing, before or behind; with the place of its own file where there is none."""
    path = write(
        tmp_path,
        fsm="import: [a.yaml, b.yaml]\n" + machine("M", "on_complete: [A, B]"),
        a=machine("A", "on_failure: B"),
        b=machine("B", "on_failure: M"),
    )
    found = load_definitions(path, built_in=None)
    assert (("A", "B"), ("B",)) == (found.machine("M").on_complete, found.machine("A").on_failure)
    assert () == found.warnings
    (tmp_path / "b.yaml").write_text(machine("B", "on_failure: N"))
    assert ["b.yaml:3:15: error: there is no machine 'N'; the machines are: 'M', 'A', 'B'"] == told(path)


@pytest.mark.parametrize("missing", ["import: [", "[]", "state_machines: {}", "import: nowhere.yaml"])
def test_a_machine_may_stand_in_a_file_that_cannot_be_read(tmp_path, missing):
    """That is the one problem."""
    path = write(tmp_path, fsm="import: a.yaml\n" + machine("M", "on_complete: A"), a=missing)
    (problem,) = told(path)
    assert "there is no machine" not in problem


def test_the_machines_of_the_library_start_at_no_end(tmp_path):
    """They are part of the definitions, and still nobody's receivers."""
    path = write(tmp_path, fsm=machine("M", "on_complete: FantasmScrubber"))
    with pytest.raises(DefinitionError, match="machine 'FantasmScrubber' is built in; name one of your own"):
        load_definitions(path)


def test_a_machine_may_stand_in_a_file_that_is_too_deep(tmp_path):
    """It is not unknown, and what is too deep is told."""
    chain = {f"f{n}": f"import: f{n + 1}.yaml\n" for n in range(MAX_IMPORT_DEPTH)}
    path = write(tmp_path, fsm="import: f0.yaml\n" + machine("M", "on_complete: A"), **chain)
    (tmp_path / f"f{MAX_IMPORT_DEPTH}.yaml").write_text(machine("A"))
    assert [f"the imports are deeper than {MAX_IMPORT_DEPTH} files"] == [
        each.split("error: ")[1] for each in told(path)
    ]
