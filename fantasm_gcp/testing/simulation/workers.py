"""The application that workers of a simulated run serve: versions of its machines, made once each."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from flask.sansio.blueprints import Blueprint

from fantasm_gcp.core.spreading import Bounds
from fantasm_gcp.engine.ports import Limits
from fantasm_gcp.testing.harness import Harness
from fantasm_gcp.testing.simulation.plan import Plan
from fantasm_gcp.testing.simulation.rendering import Version, render_plan
from fantasm_gcp.web.current import EXTENSION
from fantasm_gcp.web.extension import Fantasm

TIGHT = Limits(fan_in_entries=2, spread=Bounds(departures=2, ways=2), operation_steps=1)
"""Windows of more than two entries are split, outcomes of more than two departures are spread, operators'
commands on steps go one step at a time."""


class _Application(Flask):
    """An application whose extension can be replaced: making its paths takes longer than a short run."""

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        if blueprint.name not in self.blueprints:
            super().register_blueprint(blueprint, **options)


_APPLICATION = _Application("simulation")


class Workers:
    """Deploys versions of a plan. A context manager that deletes their files and closes the servers."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._folder = TemporaryDirectory(prefix="fantasm-")
        self._made: dict[Version, Fantasm] = {}
        self.version = Version()
        self.harness = Harness(
            self._file(self.version),
            application=lambda: _APPLICATION,
            limits=TIGHT if plan.tight else None,
        )
        self._made[self.version] = self.harness.fantasm

    def _file(self, version: Version) -> Path:
        path = Path(self._folder.name, f"{len(self._made)}.yaml")
        path.write_text(render_plan(self._plan, version), encoding="utf-8")
        return path

    def deploy(self, version: Version) -> None:
        """Has deliveries that begin from now on run on a version; those under way go on with theirs."""
        self.version = version
        if version in self._made:
            self.harness.fantasm = self._made[version]
            _APPLICATION.extensions[EXTENSION] = self.harness.fantasm
        else:
            self.harness.deploy(self._file(version))
            self._made[version] = self.harness.fantasm

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.harness.close()
        self._folder.cleanup()
