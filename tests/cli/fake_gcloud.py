"""A gcloud that keeps in a file what has been made, and writes down what it was asked; run, not imported.

``FAKE_GCLOUD`` is a directory: ``calls`` gets a line of JSON for each command, ``made`` has a line for each
resource that is there, ``answers`` is JSON of what commands that begin with certain words print, ``failing``
has the words of which one fails. Errors have the form of gcloud's own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

PLACE = Path(os.environ["FAKE_GCLOUD"])
MAKES = ("create", "enable-ttl")
LOOKS = ("describe", "list", "get-iam-policy", "read")


def fail(words, message):
    sys.stderr.write(f"ERROR: (gcloud.{'.'.join(words[:3])}) {message}\n")
    sys.exit(1)


def resource(words):
    """What a command is about: its group, its names, and the flags that are parts of names."""
    names = [
        each
        for each in words
        if not each.startswith("-") and each not in ("create", "update", "describe", "list", "http")
    ]
    parts = [each for each in words if each.startswith(("--database=", "--collection-group="))]
    # An account is made by its name and asked for by its address.
    return " ".join([*(each.partition("@")[0] for each in names if each != "expires"), *parts])


def main(words):
    with (PLACE / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    line = " ".join(words)
    failing = (PLACE / "failing").read_text().strip() if (PLACE / "failing").exists() else ""
    if failing and failing in line:
        fail(words, "PERMISSION_DENIED: it may not be done")
    answers = json.loads((PLACE / "answers").read_text())
    for beginning, answer in answers.items():
        if line.startswith(beginning):
            print(answer if isinstance(answer, str) else json.dumps(answer))
            return
    made = set((PLACE / "made").read_text().splitlines()) if (PLACE / "made").exists() else set()
    about = resource(words)
    if any(each in words for each in LOOKS):
        if about in made:
            print(about)
        elif "list" not in words and "get-iam-policy" not in words:
            fail(words, f"NOT_FOUND: {about} is not there")
    elif "create" in words and "indexes" not in words:
        if about in made:
            fail(words, f"ALREADY_EXISTS: {about} is there")
        made.add(about)
    elif "update" in words and "ttls" not in words and about not in made:
        fail(words, f"NOT_FOUND: {about} is not there")
    elif "ttls" in words:
        made.add(about)
    (PLACE / "made").write_text("\n".join(sorted(made)))


main(sys.argv[1:])
