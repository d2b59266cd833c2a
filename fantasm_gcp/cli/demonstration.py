"""Running a demonstration to its end: started once, watched, and looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import cast

import click

from fantasm_gcp.cli.campaign_key import choose_key
from fantasm_gcp.cli.progress import Progress, render_bar, render_states
from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.cli.watching import PATIENCE, Counts, follow, steps_over
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.core.findings import did_you_mean
from fantasm_gcp.core.moments import iso
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import Task
from fantasm_gcp.engine.history import History, state_counts
from fantasm_gcp.engine.start import start
from fantasm_gcp.local.dev.demo import Demo
from fantasm_gcp.web.extension import Fantasm

_SHOWN = 10


def check_demo(name: str, module: ModuleType, definitions: Definitions) -> Demo:
    """A module as a demonstration. Raises :class:`Refusal` when something is missing in it."""
    missing = [each for each in ("MACHINE", "seed", "total", "outcome") if not hasattr(module, each)]
    if missing:
        raise Refusal(f"module {name!r} is no demonstration: it lacks {', '.join(missing)}")
    demo = cast("Demo", module)
    if demo.MACHINE not in definitions.machines:
        hint = did_you_mean(demo.MACHINE, definitions.machines) or "it has to be one of the definition file"
        raise Refusal(f"{name}.MACHINE is {demo.MACHINE!r}, which is no machine; {hint}")
    return demo


class Demonstration:
    """One demonstration of an application.

    The key of its start lies in ``directory`` until its instance has ended: the run after a killed one
    continues its instance, the run after a completed one begins another.
    """

    def __init__(
        self, demo: Demo, fantasm: Fantasm, directory: Path | None, progress: Progress, url: str
    ) -> None:
        self._demo = demo
        self._fantasm = fantasm
        self._directory = directory
        self._progress = progress
        self._url = url

    def run(self, wait: Callable[[float], bool], clock: Callable[[], float] = time.monotonic) -> int | None:
        """Runs it and prints what came of it.

        ``wait`` waits some seconds and answers whether to stop. Answers 0 when the outcome is right, 1 when
        it is wrong, and None when it was stopped.
        """
        services, history = self._fantasm.services, self._fantasm.history
        client = services.store.client()
        self._demo.seed(client)
        total = self._demo.total(client)
        machine = services.definitions.machine(self._demo.MACHINE)
        key = choose_key(self._directory, machine.name, history)
        began = clock()
        started = start(services, machine.name, {}, key=key)
        page = f"{self._url}{self._fantasm.definitions.root}/instances/{started.instance}"
        click.echo(f"{'instance' if started.created else 'continues'}   {page}")

        def show(counts: Counts, over: bool) -> None:
            states = {state: asdict(each) for state, each in counts.items()}
            brief = self._progress.brief
            bar = render_bar(counts[machine.initial.name].done, total, over=over, width=10 if brief else 20)
            self._progress.show(bar + render_states(states, brief=brief), last=over)

        before = 0 if started.created else steps_over(state_counts(history, machine, started.instance))
        end = follow(history, machine, started.instance, show, wait, clock)
        took = max(clock() - began, 0.001)
        if end.how in ("stuck", "stopped"):
            return self._tell_unfinished(history, started.instance, end.how)
        ok = end.how == "completed"
        if ok:
            outcome = self._demo.outcome(client, started.instance)
            ok = outcome.ok
            for line in outcome.lines:
                click.echo(line)
        else:
            _tell_steps("failed", history.tasks(started.instance, failed=True, limit=_SHOWN, cursor="").items)
        steps = steps_over(end.counts) - before
        click.echo(f"{end.how} in {took:.1f} s: {steps:,} steps, {steps / took:,.0f} per second")
        click.echo(f"{'right' if ok else 'WRONG'}: {page}")
        return 0 if ok else 1

    def _tell_unfinished(self, history: History, instance: InstanceId, how: str) -> int | None:
        self._progress.end()
        if how == "stopped":
            click.echo(
                "stopped before the end; the next run continues it"
                if self._directory
                else "stopped before the end"
            )
            return None
        click.echo(f"stuck: nothing happened for {PATIENCE:g} s; in flight are")
        _tell_steps("in flight", history.tasks(instance, failed=False, limit=_SHOWN, cursor="").items)
        return 1


def _tell_steps(word: str, tasks: tuple[Task, ...]) -> None:
    for task in tasks:
        step = task.step
        error = f", {task.failure.error}" if task.failure else ""
        click.echo(f"  {word}: {step.state} --{step.event}--> {step.target}, due {iso(task.due)}{error}")
