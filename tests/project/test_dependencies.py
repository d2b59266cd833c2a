"""Dependencies: few, declared, with bounds and reasons; and what the scanners are told to skip."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from gunicorn.config import Config
from packaging.requirements import Requirement

import fantasm_gcp

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGE = (ROOT / "docs" / "dependencies.md").read_text()
PACKAGE = Path(fantasm_gcp.__file__).parent
NO_UPPER_BOUND = {"cryptography"}

NAMED, OPTIONAL, SERVER, BROUGHT, ALONG, TOOLS = range(6)
"""The tables of the page, in their order."""


def plain(requirement: str) -> str:
    """The name of a requirement, as registries compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~; \[(]", requirement.strip())[0]).lower()


@cache
def tables() -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The rows of each table of the page that lists packages."""
    blocks = re.findall(r"^\| package .*\n\|[-| ]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return tuple(
        tuple(tuple(cell.strip() for cell in row[1:-1].split("|")) for row in block.splitlines())
        for block in blocks
    )


def listed(*numbers: int) -> set[str]:
    return {plain(row[0]) for number in numbers for row in tables()[number]}


def declared() -> list[str]:
    return PROJECT["project"]["dependencies"]


def extra(name: str) -> list[str]:
    return PROJECT["project"]["optional-dependencies"][name]


def pins() -> dict[str, str]:
    """The versions of requirements.txt by their names."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return {plain(line): line.partition("==")[2] for line in lines if line}


@cache
def owners() -> dict[str, str]:
    """Which of the pinned and optional distributions each module file comes from."""
    found = {}
    for name in {*pins(), "google-cloud-ndb"}:
        for file in metadata.distribution(name).files or ():
            if file.suffix in (".py", ".so", ".pyi"):
                parts = (*file.parts[:-1], file.name.partition(".")[0])
                found[".".join(parts).removesuffix(".__init__")] = name
    return found


def imported() -> Iterator[tuple[str, str]]:
    """Each module that is not of the standard library and not ours, and the file that imports it.

    What is imported or looked for by its name, as a text, counts.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{each.name}" for each in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
                names = [node.value] if node.value in owners() else []
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in ("fantasm_gcp", "_typeshed"):
                    yield name, str(path.relative_to(PACKAGE))


def owner_of(module: str) -> str | None:
    """The distribution of a module, or of the module that has a name in it."""
    while module:
        if module in owners():
            return owners()[module]
        module = module.rpartition(".")[0]
    return None


def test_the_page_lists_what_pyproject_names():
    """Each once, and nothing else; so for the optional ones and the tools."""
    assert {plain(each) for each in declared()} == listed(NAMED)
    assert {plain(each) for each in extra("ndb")} == listed(OPTIONAL)
    assert {plain(each) for each in extra("dev")} == listed(TOOLS)
    assert 6 == len(tables())


def test_the_page_lists_what_requirements_pins():
    """What is named, the server, what is brought and what only comes along."""
    assert set(pins()) == listed(NAMED, SERVER, BROUGHT, ALONG)
    assert len(pins()) == sum(len(tables()[number]) for number in (NAMED, SERVER, BROUGHT, ALONG))


def test_every_import_is_of_a_package_that_is_declared_or_brought():
    """A module that comes with something else by chance could be gone tomorrow."""
    allowed = listed(NAMED, OPTIONAL, BROUGHT)
    strangers = {(module, file) for module, file in imported() if owner_of(module) not in allowed}
    assert set() == strangers


def test_nothing_is_declared_that_is_not_imported():
    """And of what is brought only what is imported is listed as such."""
    used = {owner_of(module) for module, _ in imported()}
    assert set() == listed(NAMED, OPTIONAL, BROUGHT) - used
    assert set() == used & listed(ALONG)


def test_what_is_brought_comes_with_what_is_named():
    """Without extras: an installation of the library alone has all that it imports."""
    reached: set[tuple[str, str]] = set()
    waiting = [Requirement(each) for each in declared()]
    while waiting:
        needed = waiting.pop()
        for wanted in ("", *needed.extras):
            if (plain(needed.name), wanted) not in reached:
                reached.add((plain(needed.name), wanted))
                requires = map(Requirement, metadata.requires(needed.name) or ())
                waiting += [
                    each for each in requires if not each.marker or each.marker.evaluate({"extra": wanted})
                ]
    assert set(pins()) - listed(SERVER) == {name for name, _ in reached}


@pytest.mark.parametrize("requirement", [*declared(), *extra("ndb")])
def test_ranges_have_bounds(requirement):
    """A lower one always; an upper one but where the page says why not."""
    assert ">=" in requirement
    assert (plain(requirement) in NO_UPPER_BOUND) != ("<" in requirement)
    if plain(requirement) in NO_UPPER_BOUND:
        assert "no upper bound" in next(row[2] for row in tables()[NAMED] if plain(row[0]) in NO_UPPER_BOUND)


def test_what_is_deployed_and_what_is_tested_with_is_pinned():
    """To one version each."""
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in pins().values()), pins()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", each) for each in extra("dev"))


@pytest.mark.parametrize("requirement", [*declared(), *extra("ndb")])
def test_the_pinned_version_is_within_the_range(requirement):
    """What is tested is what is promised."""
    named = {plain(each): each.partition("==")[2] for each in extra("dev")} | pins()
    pinned = _numbers(named[plain(requirement)])
    for sign, version in re.findall(r"(>=|<)([\d.]+)", requirement):
        assert pinned >= _numbers(version) if sign == ">=" else pinned < _numbers(version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split("."))


PERMISSIVE = re.compile(r"Apache|BSD|MIT|PSF|MPL")


def test_licences_are_what_the_page_says():
    """By what the packages say of themselves, as far as they do so in one word."""
    for row in (row for number in (NAMED, OPTIONAL, SERVER, BROUGHT, ALONG) for row in tables()[number]):
        said = metadata.metadata(row[0])
        classifiers = " ".join(each for each in said.get_all("Classifier") or [] if "License" in each)
        text = f"{said.get('License-Expression') or ''} {said.get('License') or ''} {classifiers}"
        family = PERMISSIVE.search(row[-1])
        assert family is not None, row
        assert family[0] in text, row


def test_what_bandit_skips_is_found_by_ruff():
    """Each code has its twin among ruff's rules, which are all on; but for the import of a module."""
    skipped = PROJECT["tool"]["bandit"]["skips"]
    lint = PROJECT["tool"]["ruff"]["lint"]
    off = [each for each in lint["ignore"] if each.startswith("S1")]
    assert "S" in lint["select"]
    assert ["S101"] == off
    assert sorted(skipped) == skipped
    assert {"B101", "B104", "B105", "B310", "B311", "B404", "B603", "B607", "B608", "B704"} == set(skipped)


def test_every_answer_to_a_security_rule_is_beside_its_line():
    """With a reason. No file is excepted as a whole, and nothing is answered for bandit alone."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "examples").rglob("*.py"), ROOT / "main.py"]:
        source = path.read_text()
        assert "nosec" not in source, path
        assert re.search(r"^# ruff: noqa", source, re.MULTILINE) is None, path
        bare = [line for line in source.splitlines() if re.search(r"# noqa: S\d+\W*$", line)]
        assert [] == bare, path
    excepted = PROJECT["tool"]["ruff"]["lint"]["per-file-ignores"]
    assert not any("S" in codes for name, codes in excepted.items() if name.startswith("fantasm_gcp"))


def test_gunicorn_drops_headers_with_underscores():
    """They would be taken for those with dashes, which the platforms vouch for: docs/security.md."""
    assert "drop" == Config().header_map
    for name in ("app.yaml", "Dockerfile", "Procfile"):
        if (ROOT / name).exists():
            assert not re.search("header.map", (ROOT / name).read_text()), name
