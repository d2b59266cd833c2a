"""The key of a demonstration's start, kept in a file until the instance that it started has ended."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from fantasm_gcp.core.names import keyed_instance_id
from fantasm_gcp.engine.history import History

KEYS_FILE = "demo.json"


def choose_key(directory: Path | None, machine: str, history: History) -> str:
    """The key of the instance that an earlier run left unfinished, or a new one, which is kept.

    Without a directory it is always new. Raises ``OSError`` when the file cannot be written.
    """
    if directory is None:
        return secrets.token_hex(8)
    file = directory / KEYS_FILE
    keys = _read(file)
    key = keys.get(machine)
    if key is not None:
        instance = history.instance(keyed_instance_id(machine, key))
        if instance is None or instance.ended is None:
            return key
    key = keys[machine] = secrets.token_hex(8)
    # Replaced as a whole: a run that is killed here leaves the old key or the new one.
    new = file.with_suffix(".new")
    new.write_text(json.dumps(keys), encoding="utf-8")
    os.replace(new, file)
    return key


def _read(file: Path) -> dict[str, str]:
    """The keys by machine; none where the file is not there or is not one of ours."""
    try:
        keys = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(keys, dict):
        return {}
    return {name: key for name, key in keys.items() if isinstance(key, str) and key}
