"""Users' modules, written to disk for one test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))  # for the texts that both folders use


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Writes modules of a package that exists for one test; gives its name."""
    name = f"shop_of_{tmp_path.name}"
    (tmp_path / name).mkdir()

    def write(**modules: str) -> str:
        for module, code in {"__init__": "", **modules}.items():
            (tmp_path / name / f"{module}.py").write_text(code, encoding="utf-8")
        importlib.invalidate_caches()
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    for module in [each for each in sys.modules if each.split(".")[0] == name]:
        del sys.modules[module]
