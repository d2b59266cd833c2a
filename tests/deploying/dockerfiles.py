"""A Dockerfile as its instructions, and what a linter would say of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

KNOWN = ("FROM", "ARG", "ENV", "RUN", "COPY", "ADD", "WORKDIR", "USER", "CMD", "LABEL", "EXPOSE")


@dataclass(frozen=True)
class Instruction:
    """One of a Dockerfile: its word, in capitals, and the rest of it on one line."""

    word: str
    rest: str


def parse_dockerfile(text):
    """The instructions, without comments; raises ``ValueError`` for a word that is none."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    made = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word.upper() not in KNOWN or not rest.strip():
            raise ValueError(f"no instruction of a Dockerfile: {line}")
        made.append(Instruction(word.upper(), rest.strip()))
    return made


def last(instructions, word):
    """What the last instruction of a word says; empty without one."""
    return next((each.rest for each in reversed(instructions) if each.word == word), "")


def command(instructions):
    """The arguments of CMD in its exec form; empty for another form."""
    try:
        arguments = json.loads(last(instructions, "CMD"))
    except ValueError:
        return []
    return (
        arguments if isinstance(arguments, list) and all(isinstance(each, str) for each in arguments) else []
    )


def lint(text, is_there):
    """What is wrong with a Dockerfile, in words; ``is_there`` tells whether a file of the project exists."""
    try:
        instructions = parse_dockerfile(text)
    except ValueError as error:
        return [str(error)]
    found = [*_base(instructions), *_account(instructions), *_start(instructions)]
    for each in instructions:
        if each.word == "ADD":
            found.append("COPY does what is wanted of ADD")
        if each.word == "COPY":
            *sources, _ = each.rest.split()
            found += [f"there is no {name}" for name in sources if not is_there(name)]
        if each.word == "RUN" and "pip install" in each.rest and "--no-cache-dir" not in each.rest:
            found.append("pip leaves its cache in the image")
        if each.word in ("ENV", "ARG") and re.search(r"SECRET|PASSWORD|TOKEN|KEY", each.rest):
            found.append("a secret in an image is no secret")
        if "PYTHONDONTWRITEBYTECODE" in each.rest:
            found.append("there are no .pyc files, and each start takes seconds longer")
    if not any(each.word == "RUN" and "compileall" in each.rest for each in instructions):
        found.append("the application is not compiled")
    return found


def _base(instructions):
    first = instructions[0] if instructions else Instruction("", "")
    if first.word != "FROM":
        return ["it does not begin with FROM"]
    if not re.search(r":\d+\.\d+[\w.-]*$|@sha256:[0-9a-f]{64}$", first.rest):
        return ["the base image is not pinned"]
    return []


def _account(instructions):
    words = [each.word for each in instructions]
    if not re.fullmatch(r"[1-9]\d*", last(instructions, "USER")):
        return ["it runs as root, or as an account whose number nobody knows"]
    after = words[len(words) - words[::-1].index("USER") :]
    return ["something is done after USER that needs root"] if {"RUN", "COPY"} & set(after) else []


def _start(instructions):
    arguments = command(instructions)
    if arguments[:2] != ["sh", "-c"] or len(arguments) != 3:
        return ["CMD is not in its exec form, so nobody gets SIGTERM"]
    found = []
    if not arguments[2].startswith("exec "):
        found.append("the shell stays in front of the server and keeps SIGTERM to itself")
    if "$PORT" not in arguments[2]:
        found.append("the port is not the one that Cloud Run wants")
    return found
