"""The course of a simulated run: what happens next, read from the tape, until nothing is left that can."""

from __future__ import annotations

from dataclasses import dataclass, field

from fantasm_gcp.local.tasks import Attempt
from fantasm_gcp.testing.simulation.actions import Play
from fantasm_gcp.testing.simulation.deeds import DEEDS, START, Deed, Scene, command
from fantasm_gcp.testing.simulation.faults import FAULTS
from fantasm_gcp.testing.simulation.mood import MOVES, Mood
from fantasm_gcp.testing.simulation.rendering import Version, most_missing
from fantasm_gcp.testing.simulation.running import Crowd, Running
from fantasm_gcp.testing.simulation.tape import Tape
from fantasm_gcp.testing.simulation.workers import Workers

OVERLAP = 4
"""Deliveries and commands that are under way at once, at most."""

LEAPS = {0.5: 4, 3.0: 4, 40.0: 1, 400.0: 1, 26 * 3600.0: 1, 10 * 86400.0: 1}
"""Seconds that pass at once, and how likely each is: a moment, past a window, past a transaction's life,
past a task's tombstone, many days."""

SKEWS = (0.0, 1.5, -1.5, 6.0, -6.0)
"""Seconds by which a worker's clock is ahead."""

FAR = 2 * 3600.0
"""Seconds that no task comes after everything has ended: more than any backoff."""

MOST_TIME = 20 * 86400.0
"""Seconds that pass by leaps at most: Cloud Tasks drops what is not tried for a month."""

PATIENCE = 30
"""How often operators redrive, release and resume what is left before they give up."""


@dataclass(slots=True)
class Course:
    """One run on its way. ``far`` are tasks that came long after everything had ended."""

    tape: Tape
    mood: Mood
    workers: Workers
    scene: Scene
    play: Play
    crowd: Crowd
    past: list[Attempt] = field(default_factory=list)
    owed: list[tuple[Deed, str]] = field(default_factory=list)
    far: list[str] = field(default_factory=list)
    rests: int = 0
    deployed_for: int = 0

    def begin(self) -> None:
        """Has somebody start the machine."""
        self._command(START, START.targets(self.scene)[0])

    def move(self) -> bool:
        """Has one thing happen; False where nothing is left that can."""
        acts = (
            self._go_on,
            self._switch,
            self._begin,
            self._duplicate,
            self._repeat,
            self._leap,
            self._deploy,
            self._meddle,
        )
        number = self.tape.moves.draw(len(MOVES), self.mood.moves)
        return acts[number]() or (number > 0 and self._go_on())

    def resume(self) -> bool:
        """When nothing is left to do: mends, gives commands again that were not heard, and those that let
        go on what is held up. False where there is nothing of that either.

        Raises ``RuntimeError`` where it was in vain again and again.
        """
        self.rests += 1
        self.play.mended = True
        if self.workers.version != Version():
            self._install(Version())
        if self.rests > PATIENCE:
            raise RuntimeError("something fails again and again")
        owed, self.owed = self.owed, []
        owed = owed or [(deed, target) for deed in DEEDS for target in deed.at_rest(self.scene)]
        for deed, target in owed:
            self._command(deed, target)
        return bool(owed)

    # -- deliveries ---------------------------------------------------------------------------------------

    def _go_on(self) -> bool:
        """Goes on with what began first; where nothing is under way, begins what is due next."""
        if self.crowd.running:
            self._step(self.crowd.running[0])
            return True
        harness = self.workers.harness
        moment = harness.tasks.next_time()
        if moment is None:
            return False
        late = moment > harness.clock() + FAR
        attempt = harness.next_attempt()
        if attempt is None:
            return True  # it was too old to keep
        if late and not self.owed and all(each.ended is not None for each in self.scene.journal.instances()):
            self.far.append(attempt.task)
        self._deliver(attempt)
        return True

    def _step(self, running: Running) -> None:
        if running.strand.rpc is not None:
            running.fault = FAULTS[self.tape.faults.draw(len(FAULTS), self.mood.faults)]
        self.crowd.step(running)

    def _switch(self) -> bool:
        running = self.crowd.running
        if len(running) < 2:
            return False
        self._step(running[1 + self.tape.moves.draw(len(running) - 1)])
        return True

    @property
    def _is_crowded(self) -> bool:
        return len(self.crowd.running) >= OVERLAP

    def _begin(self) -> bool:
        tasks = self.workers.harness.tasks
        due = [] if self._is_crowded else tasks.due()
        return bool(due) and self._deliver(tasks.lease(due[self.tape.moves.draw(len(due))]))

    def _duplicate(self) -> bool:
        """A task that is being delivered is delivered once more."""
        tasks = [each.attempt.task for each in self.crowd.running if each.attempt]
        if not tasks or self._is_crowded:
            return False
        return self._deliver(
            self.workers.harness.tasks.lease(tasks[self.tape.moves.draw(len(tasks))], force=True)
        )

    def _repeat(self) -> bool:
        """A delivery from long ago comes again; nobody waits for its answer."""
        if not self.past or self._is_crowded:
            return False
        past = self.past[-1 - self.tape.moves.draw(len(self.past))]

        def ended(running: Running) -> None:
            self.crowd.answered(running)

        self._count_delivery()
        act = self.workers.harness.response
        self.crowd.launch("again " + past.task, lambda: act(past), ended, self._draw_skew())
        return True

    def _deliver(self, attempt: Attempt | None) -> bool:
        if attempt is None:
            return False
        self._count_delivery()
        self.past.append(attempt)
        act = self.workers.harness.response
        self.crowd.launch(attempt.task, lambda: act(attempt), self._delivered, self._draw_skew(), attempt)
        return True

    def _draw_skew(self) -> float:
        return SKEWS[self.tape.workers.draw(len(SKEWS), self.mood.skews)]

    def _delivered(self, running: Running) -> None:
        response, attempt = self.crowd.answered(running), running.attempt
        assert attempt is not None, "this is how attempts end"
        if response is not None and self.tape.workers.draw(2, self.mood.lost):
            self.crowd.tell(running.who, "the answer gets lost")
            response = None
        self.workers.harness.tasks.finish(attempt, response)

    # -- everything else ----------------------------------------------------------------------------------

    def _leap(self) -> bool:
        seconds = [*LEAPS][self.tape.moves.draw(len(LEAPS), [*LEAPS.values()])]
        if seconds > FAR and self.crowd.schedule[0].time + MOST_TIME < self.workers.harness.clock() + seconds:
            return False
        self.crowd.tell("clock", f"{seconds:g} seconds pass")
        self.workers.harness.clock.sleep(seconds)
        return True

    def _deploy(self) -> bool:
        """Another version for the next few deliveries."""
        plan = self.scene.plan
        versions = [Version(renamed=True), Version(scattered=True)]
        versions += [Version(missing=place + 1) for place in range(most_missing(plan))]
        version = versions[self.tape.moves.draw(len(versions))]
        self.deployed_for = 2 + self.tape.moves.draw(6)
        self._install(version)
        return True

    def _install(self, version: Version) -> None:
        self.crowd.tell("deploy", str(version))
        self.workers.deploy(version)

    def _count_delivery(self) -> None:
        """Goes back to the plan's own version once another has had its deliveries."""
        if self.deployed_for:
            self.deployed_for -= 1
            if not self.deployed_for:
                self._install(Version())

    def _meddle(self) -> bool:
        """Somebody gives a command, or mends the states that fail."""
        number = self.tape.moves.draw(len(DEEDS) + 1, (*(each.odds for each in DEEDS), 1))
        if number == len(DEEDS):
            self.crowd.tell("operator", "mends what fails")
            self.play.mended = True
            return True
        targets = DEEDS[number].targets(self.scene)
        if not targets or self._is_crowded:
            return False
        self._command(DEEDS[number], targets[self.tape.moves.draw(len(targets))])
        return True

    def _command(self, deed: Deed, target: str) -> None:
        self.play.relaxed |= deed.relaxes

        def ended(running: Running) -> None:
            if not running.strand.result:
                self.owed.append((deed, target))

        act = command(deed, self.scene, target)
        self.crowd.launch(f"{deed.name} {target}", act, ended, self._draw_skew())
