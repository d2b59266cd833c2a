"""Running gcloud, without a shell in between."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.deploying import Answer

PATIENCE = 120.0
"""Seconds that a question may take; what changes something may take as long as it does."""

_LATE = f"gcloud did not answer within {PATIENCE:g} s"

AT_ONCE = 4
"""Questions at a time: each is a process of a hundred megabytes."""


class Gcloud:
    """The gcloud of this machine; raises :class:`Refusal` where there is none."""

    def __init__(self) -> None:
        found = shutil.which("gcloud")
        if found is None:
            raise Refusal(
                "there is no gcloud on the PATH: install the Google Cloud CLI, then: gcloud auth login"
            )
        self._path = found

    def run(self, argv: tuple[str, ...]) -> int:
        """Runs a command that begins with ``gcloud``, its words on this terminal; answers its exit status."""
        return subprocess.run([self._path, *argv[1:]], check=False).returncode  # noqa: S603  # no shell

    def prints(self, argv: tuple[str, ...]) -> str:
        """What a command prints, without blanks around it; nothing where it fails."""
        return self.prints_or_says(argv)[0]

    def prints_or_says(self, argv: tuple[str, ...]) -> tuple[str, str]:
        """What a command prints, and where it fails nothing, and why."""
        done = self._captured(argv)
        if done is None:
            return "", _LATE
        return ("", _reason(done.stderr)) if done.returncode else (done.stdout.strip(), "")

    def ask(self, questions: Mapping[str, tuple[str, ...]]) -> dict[str, Answer]:
        """The answers to questions that print JSON, asked some at a time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(questions, pool.map(self._answer, questions.values()), strict=True))

    def _answer(self, argv: tuple[str, ...]) -> Answer:
        done = self._captured(argv)
        if done is None:
            return Answer(refusal=_LATE)
        if done.returncode:
            return Answer(refusal=_reason(done.stderr) or f"gcloud ended with status {done.returncode}")
        try:
            return Answer(json.loads(done.stdout or "null"))
        except ValueError:
            return Answer(refusal="gcloud printed no JSON")

    def _captured(self, argv: tuple[str, ...]) -> subprocess.CompletedProcess[str] | None:
        command = [self._path, *argv[1:]]
        try:
            return subprocess.run(  # noqa: S603  # no shell
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return None


def _reason(said: str) -> str:
    """The line with the error of what gcloud says, in one line."""
    lines = [" ".join(each.split()) for each in said.splitlines() if each.strip()]
    return next((each for each in lines if each.startswith("ERROR:")), lines[-1] if lines else "")
