"""An index.yaml that changes while the local Datastore runs: what is read again, when, and what is not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datastore_backends import DatastoreBackend
from datastore_support import Low, by, identifiers, where
from google.api_core.exceptions import FailedPrecondition

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.dev.configuration import IndexYaml

STANZA = "- kind: K\n  properties:\n  - name: a\n  - name: b\n"
ASKED: dict[str, Any] = {"filter": where("a", "EQUAL", 1), "order": by("b")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index.yaml"


@pytest.fixture
def low(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Low]:
    monkeypatch.chdir(file.parent)
    index_yaml = IndexYaml()
    server = DatastoreServer(indexes=index_yaml.read().indexes, newer_indexes=index_yaml.read_newer)
    yield Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    server.close()


def test_a_stanza_that_was_added_serves_the_query_at_once(low: Low, file: Path) -> None:
    """What was stored before is in the index, as it was at an earlier moment, too."""
    low.put("K", 1, a=1, b=3)
    low.put("K", 2, a=1, b=2)
    transaction = low.begin(read_only={})
    low.put("K", 1, a=1, b=1)
    with pytest.raises(FailedPrecondition):
        low.query("K", **ASKED)

    file.write_text(f"indexes:\n{STANZA}")

    assert [1, 2] == identifiers(low.query("K", **ASKED))
    assert [2, 1] == identifiers(low.query("K", read_options={"transaction": transaction}, **ASKED))


def test_indexes_stay_while_the_file_is_broken_or_gone(
    low: Low, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, with the place of each problem, and the file counts again when it is mended."""
    file.write_text(f"indexes:\n{STANZA}")
    low.query("K", **ASKED)
    file.write_text("indexes:\n- kind: K\n  propertys: []\n")
    other = {**ASKED, "order": by("-b")}
    for _ in range(2):
        with caplog.at_level(logging.WARNING), pytest.raises(FailedPrecondition):
            low.query("K", **other)
    assert 1 == caplog.text.count("its indexes stay as they were")
    assert "index.yaml:3:3" in caplog.text
    file.unlink()
    with pytest.raises(FailedPrecondition):
        low.query("K", **other)
    low.query("K", **ASKED)

    file.write_text(f"indexes:\n{STANZA}    direction: desc\n")

    low.query("K", **other)
    with pytest.raises(FailedPrecondition):
        low.query("K", **ASKED)


def test_an_index_that_cannot_be_built_leaves_the_old_ones(
    low: Low, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An entity with too many combinations of values is named, and the query is refused as before."""
    many = list(range(150))
    low.put("K", 1, a=many, b=many)
    file.write_text(f"indexes:\n{STANZA}")

    with caplog.at_level(logging.WARNING), pytest.raises(FailedPrecondition):
        low.query("K", **ASKED)

    assert "cannot be built" in caplog.text
    assert [1] == identifiers(low.query("K"))


def test_a_pipe_is_read_once() -> None:
    """As a shell makes one of ``<(...)``: read again, it would keep everybody waiting."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        index_yaml = IndexYaml(Path(f"/dev/fd/{reading}"))
        pipe.write(f"indexes:\n{STANZA}")
        pipe.close()

        assert ["K"] == [each.kind for each in index_yaml.read().indexes]
        assert index_yaml.read_newer() is None


def test_indexes_that_are_no_others_are_no_reason_to_ask_again() -> None:
    """A callable may answer what is declared at any time: the query is refused, and not tried for ever."""
    server = DatastoreServer(indexes=(), newer_indexes=tuple)
    low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    with pytest.raises(FailedPrecondition):
        low.query("K", **ASKED)
    server.close()
