"""The examples of docs/api.md, as the API answers them: ``python tests/web/api_examples.py`` writes them."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "api.md"
_MARKED = re.compile(r"(<!-- example: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_RANDOM = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{16}|[0-9a-f]{8}(?=-[A-Z]))(?![0-9a-f])")


class Steady:
    """Writes answers as they would be if nothing in them were random or of this machine."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        text = re.sub(
            r'"traceback": "(?:[^"\\]|\\.)+"', r'"traceback": "Traceback (most recent call last): …"', text
        )
        return _RANDOM.sub(lambda found: self._same(found[0]), text)

    def _same(self, text: str) -> str:
        number = str(len(self._seen))
        return self._seen.setdefault(text, hashlib.sha256(number.encode()).hexdigest()[: len(text)])


def examples() -> dict[str, str]:
    """Each example by its name: the request and the answer, as Markdown."""
    from fantasm_gcp.testing import Harness

    steady, made = Steady(), dict[str, str]()
    with Harness(HERE / "paying.yaml") as harness:

        def ask(name: str, path: str, body: Any = None, keep: Callable[[Any], Any] | None = None) -> Any:
            if body is None:
                answer = harness.client.get(f"/fantasm/{path}")
            else:
                answer = harness.client.post(f"/fantasm/{path}", json=body)
            given = keep(answer.json) if keep else answer.json
            sent = f"GET /fantasm/{path}"
            if body is not None:
                sent = f"POST /fantasm/{path}" + (f"\n\n{json.dumps(body, indent=2)}" if body else "")
            made[name] = (
                f"```text\n{steady(sent)}\n```\n\n```json\n{steady(json.dumps(given, indent=2))}\n```\n"
            )
            return answer.json

        _reading(harness, ask)
        _commanding(harness, ask)
    return made


def _reading(harness: Any, ask: Callable[..., Any]) -> None:
    ask("machines", "api/machines", keep=lambda answer: {"machines": answer["machines"][:1]})
    instance = ask("start", "fsm/Payment/", {"card": "expired"})["instance"]
    harness.run()
    harness.clock.sleep(60)
    ask("instances", "api/instances?machine=Payment&status=failed&limit=10")
    shown = ask("instance", f"api/instances/{instance}?wait=20")
    ask("children", f"api/instances/{instance}/children")
    ask("logs", f"api/instances/{instance}/logs")
    ask("step", f"api/instances/{instance}/steps/{shown['failed']['items'][0]['step']}")
    (group,) = ask("failures", "api/failures?machine=Payment")["groups"]
    where = f"machine=Payment&state=Charge&fingerprint={group['fingerprint']}"
    ask("failed_steps", f"api/failures/steps?{where}")


def _commanding(harness: Any, ask: Callable[..., Any]) -> None:
    (group,) = harness.get("failures")["groups"]
    instance, step = group["example"]["instance"], group["example"]["step"]
    ask("redrive_matching", "api/redrive", {"machine": "Payment", "fingerprint": group["fingerprint"]})
    harness.run()
    ask("redrive_instance", f"api/instances/{instance}/redrive", {})
    harness.run()
    body = {"context": {"card": "another"}}
    ask("redrive_step", f"api/instances/{instance}/steps/{step}/redrive", body)
    harness.run()
    other = harness.start("Payment/?card=new").json["instance"]
    for command in ("pause", "resume", "cancel"):
        ask(command, f"api/instances/{other}/{command}", {})
    harness.run()
    ask("hold", "api/holds", {"machine": "Payment", "state": "Charge", "note": "the bank is down"})
    ask("holds", "api/holds")
    ask("release", "api/holds/release", {"machine": "Payment", "state": "Charge"})
    ask("error", "api/instances/Payment-nope/cancel", {})


def with_examples(text: str) -> str:
    """A page with each marked example as the API answers it."""
    made = examples()
    return _MARKED.sub(lambda mark: mark[1] + made[mark[2]] + mark[3], text)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    PAGE.write_text(with_examples(PAGE.read_text()))
