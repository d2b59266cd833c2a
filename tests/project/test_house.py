"""The shape of the house: who may import what, what importing costs, what is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fantasm_gcp

PACKAGE = Path(fantasm_gcp.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
VENDORS = {
    "google": ("gateways", "local", "testing"),
    "grpc": ("gateways", "local", "testing"),
    "flask": ("web", "console", "local", "testing", "cli"),
    "werkzeug": ("web", "console", "local", "testing", "cli"),
    "click": ("cli",),
    "yaml": ("loader",),
    "requests": ("gateways",),
    "urllib3": ("gateways",),
    "opentelemetry": (),  # who records spans has imported it: see fantasm_gcp/observing/spans.py
}


def imports_of(module: Path) -> set[str]:
    """The top-level packages that a module names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_is_named_only_where_it_belongs(vendor):
    """Google in gateways and local servers, Flask on the web side, click in the CLI, YAML in the loader."""
    outside = [
        str(module.relative_to(PACKAGE))
        for module in MODULES
        if vendor in imports_of(module) and part_of(module) not in VENDORS[vendor]
    ]
    assert [] == outside


def test_the_core_is_pure():
    """Standard library and core alone; no clock, randomness, environment, logging or I/O."""
    impure = {
        "os",
        "time",
        "random",
        "secrets",
        "logging",
        "io",
        "pathlib",
        "subprocess",
        "socket",
        "threading",
    }
    for module in (PACKAGE / "core").glob("*.py"):
        names = imports_of(module)
        assert set() == names & impure, module.name
        assert names <= sys.stdlib_module_names | {"fantasm_gcp"}, module.name


def test_the_environment_is_read_in_the_cli_alone():
    """Everything else is given its settings."""
    readers = [
        module
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if part_of(module) not in ("cli",)
    ]
    assert [] == readers


@pytest.mark.parametrize("module", ["fantasm_gcp", "fantasm_gcp.web.extension", "fantasm_gcp.cli.main"])
def test_importing_loads_no_google_client(module):
    """They cost a third of a second each, and do not survive a fork."""
    code = f"import sys, {module}; print([name for name in sys.modules if name.startswith('google.cloud') or name == 'grpc'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == result.stdout.strip()


def test_the_public_names_are_these():
    """Sorted, there, and documented; a change of this list is a change for users."""
    assert sorted(fantasm_gcp.__all__) == list(fantasm_gcp.__all__)
    assert [] == [name for name in fantasm_gcp.__all__ if not getattr(fantasm_gcp, name).__doc__]
    assert {"Fantasm", "Settings", "FSMAction", "Context", "Contexts", "StepObject"} <= set(
        fantasm_gcp.__all__
    )


def test_modules_are_small_and_say_what_lives_in_them():
    """None over 600 lines; each with a docstring."""
    for module in MODULES:
        source = module.read_text()
        assert 600 >= source.count("\n"), module.name
        assert ast.get_docstring(ast.parse(source)), module.name
