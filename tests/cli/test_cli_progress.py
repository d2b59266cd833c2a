"""The progress line: what it says, and where it is drawn."""

import io
import logging

import pytest

from fantasm_gcp.cli.progress import AboveProgress, Progress, render_bar, render_states
from fantasm_gcp.testing import VirtualClock


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("done", "total", "over", "expected"),
    [
        (0, 1000, False, "[--------------------]   0 %  "),
        (500, 1000, False, "[##########----------]  50 %  "),
        (1001, 1000, False, "[###################-]  99 %  "),
        (1001, 1000, True, "[####################] 100 %  "),
        (5, 0, False, ""),
        (5, None, True, ""),
    ],
)
def test_a_bar_is_full_only_at_the_end(done, total, over, expected):
    """The last window of a fan-in may take seconds after everything else is done."""
    assert expected == render_bar(done, total, over=over)


def test_states_are_named_with_what_they_count():
    """Zeroes are left out, but for what is done."""
    counts = {
        "Send": {"in_flight": 2, "failed": 0, "done": 1500},
        "Count": {"in_flight": 0, "failed": 1, "done": 0},
    }
    assert "Send 1,500 done, 2 in flight | Count 0 done, 1 failed" == render_states(counts)
    assert "Send 1,500, 2 in flight | Count 0, 1 failed" == render_states(counts, brief=True)


@pytest.mark.parametrize(("columns", "expected"), [("99", True), ("100", False)])
def test_a_narrow_terminal_gets_a_brief_line(monkeypatch, columns, expected):
    """A file has no width."""
    monkeypatch.setenv("COLUMNS", columns)
    assert (expected, False) == (Progress(Terminal()).brief, Progress(io.StringIO()).brief)


def test_a_file_gets_a_line_a_second_and_none_twice():
    """A log of a build stays short; the last line is there in any case."""
    stream, clock = io.StringIO(), VirtualClock()
    progress = Progress(stream, clock)
    for line in ("a", "b", "c", "c", "c", "d"):
        progress.show(line)
        clock.sleep(0.5)
    progress.show("e", last=True)
    assert "a\nc\nd\ne\n" == stream.getvalue()


def test_a_terminal_gets_one_line_that_is_redrawn():
    """Every line clears the one before, and the last one stays."""
    stream = Terminal()
    progress = Progress(stream)
    progress.show("a")
    progress.show("b", last=True)
    assert "\r\x1b[Ka\r\x1b[Kb\n" == stream.getvalue()


def test_a_long_line_does_not_wrap(monkeypatch):
    """A line that wraps cannot be redrawn."""
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    Progress(stream).show("x" * 100)
    assert "\r\x1b[K" + "x" * 29 == stream.getvalue()


def test_a_log_line_stands_above_the_progress_line(capsys):
    """The line is cleared, the message written, the line drawn again."""
    stream = Terminal()
    progress = Progress(stream)
    progress.show("half")
    AboveProgress(progress).handle(logging.makeLogRecord({"levelname": "WARNING", "name": "x", "msg": "oh"}))
    assert "\r\x1b[Khalf\r\x1b[Khalf" == stream.getvalue()
    assert "WARNING x: oh\n" == capsys.readouterr().err


def test_a_traceback_is_shown_once(capsys):
    """A step that fails a hundred times says what is wrong once."""
    handler = AboveProgress(Progress(io.StringIO()))
    for _ in range(2):
        try:
            raise ValueError("again")
        except ValueError as error:
            info = (type(error), error, error.__traceback__)
            handler.handle(logging.makeLogRecord({"msg": "failed", "exc_info": info}))
    told = capsys.readouterr().err
    assert (1, 1) == (told.count("Traceback"), told.count("(its traceback is above)"))


def test_an_unfinished_line_is_ended_before_other_output():
    """What follows an interrupted demonstration begins on a line of its own."""
    stream = Terminal()
    progress = Progress(stream)
    progress.show("half")
    progress.end()
    progress.end()
    assert stream.getvalue().endswith("half\n")
