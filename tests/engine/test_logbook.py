"""What ``context.logger`` sends to the logging module, and what it keeps."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fantasm_gcp.core.context import Scope
from fantasm_gcp.core.definition import PSEUDO_INIT
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import LogLine, Step
from fantasm_gcp.engine.logbook import (
    MESSAGE_LIMIT,
    MOST_BYTES,
    MOST_LINES,
    MOST_TAGS,
    STACK_LIMIT,
    TAG_LIMIT,
    UNPRINTABLE,
    ContextLogger,
)

LEVELS = ("debug", "info", "warning", "error", "critical")
STEP = Step(InstanceId("M-1"), "M", "main", "Pay", "paid", "Ship", 3)


class Clock:
    """One second later each time it is asked."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def make_logger(step: Step = STEP, *, persistent: bool = True) -> tuple[ContextLogger, Scope]:
    scope = Scope(
        instance=step.instance,
        machine=step.machine,
        state=step.target,
        event=step.event,
        step=step.name,
        started=1.0,
        client=lambda: None,
        require=lambda name: name,
        action="shop.Ship",
    )
    return ContextLogger(step, scope, Clock(), persistent), scope


@pytest.fixture
def logger() -> ContextLogger:
    return make_logger()[0]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(1, "fantasm_gcp.actions")
    return caplog


def kept(logger: ContextLogger) -> list[LogLine]:
    return list(logger.take(0, 1))


def kept_messages(logger: ContextLogger) -> list[str]:
    return [each.message for each in kept(logger)]


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.fantasm(224)
def test_a_line_goes_to_the_logging_module_and_into_a_row(
    logger: ContextLogger, heard: pytest.LogCaptureFixture
) -> None:
    """Each level has its method; both outputs get the text and the level."""
    for name in LEVELS:
        getattr(logger, name)("%s happened", name)
    logger.warn("old")
    logger.log(logging.INFO, "by number")
    logger.log("ERROR", "by name")

    expected = [(f"{name} happened", logging.getLevelNamesMapping()[name.upper()]) for name in LEVELS]
    expected += [("old", 30), ("by number", 20), ("by name", 40)]
    assert expected == [(each.message, each.level) for each in kept(logger)]
    assert expected == [(each.getMessage(), each.levelno) for each in heard.records]
    assert {"fantasm_gcp.actions"} == {each.name for each in heard.records}


@pytest.mark.fantasm(224)
def test_without_persistent_logging_nothing_is_kept(heard: pytest.LogCaptureFixture) -> None:
    """The logging module gets the line all the same."""
    logger, _ = make_logger(persistent=False)

    logger.info("x")

    assert ([], ["x"]) == (kept(logger), heard.messages)


def test_what_the_logging_module_does_not_want_is_kept(
    logger: ContextLogger, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows do not depend on how a process logs."""
    caplog.set_level(logging.CRITICAL, "fantasm_gcp.actions")

    logger.debug("x")

    assert (["x"], []) == (kept_messages(logger), caplog.messages)


@pytest.mark.fantasm(225)
@pytest.mark.parametrize("least", LEVELS)
@pytest.mark.parametrize("most", LEVELS)
def test_levels_bound_both_outputs(heard: pytest.LogCaptureFixture, least: str, most: str) -> None:
    """Both bounds are inclusive, under both spellings, as numbers and as names."""
    logger, _ = make_logger()
    logger.setLevel(least.upper())
    logger.set_max_level(logging.getLevelNamesMapping()[most.upper()])

    for name in LEVELS:
        getattr(logger, name)(name)

    expected = list(LEVELS[LEVELS.index(least) : LEVELS.index(most) + 1])
    assert (expected, expected) == (kept_messages(logger), heard.messages)


def test_a_level_that_is_none_is_refused(logger: ContextLogger) -> None:
    """As by the logging module, and at once."""
    with pytest.raises(ValueError, match="unknown level: 'LOUD'"):
        logger.set_level("LOUD")


@pytest.mark.fantasm(227)
@pytest.mark.parametrize("message", [3, None, {"a": 1}, ["%s"], ValueError("no"), b"x"])
def test_a_message_that_is_not_text_is_made_text(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, message: object
) -> None:
    """By str(), as the logging module does it."""
    logger.warning(message)

    assert ([str(message)], [str(message)]) == (kept_messages(logger), heard.messages)


@pytest.mark.fantasm(227)
def test_a_message_without_words_is_a_fixed_one_at_its_level(
    logger: ContextLogger, heard: pytest.LogCaptureFixture
) -> None:
    """The step goes on, and the line tells that something was there."""
    logger.error(Mute())
    logger.error(Mute(), "and", "arguments")

    assert [(UNPRINTABLE, 40)] * 2 == [(each.message, each.level) for each in kept(logger)]
    assert [(UNPRINTABLE, 40)] * 2 == [(each.getMessage(), each.levelno) for each in heard.records]


@pytest.mark.fantasm(228)
@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("%s", (), "%s"),
        ("100%", (), "100%"),
        ("%(a)s and %d", (), "%(a)s and %d"),
        ("%s of %d", ("a", 2), "a of 2"),
        ("%(a)s", ({"a": "x"},), "x"),
        ("%s", ({},), "{}"),
        ("%s", ("",), ""),
    ],
)
def test_arguments_are_interpolated_and_nothing_else(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, message: str, args: Any, expected: str
) -> None:
    """Without arguments a message stands as it is."""
    logger.info(message, *args)

    assert ([expected], [expected]) == (kept_messages(logger), heard.messages)


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("%s %s", ("a",), "%s %s (its arguments do not fit: 'a')"),
        ("none", ("a", 2), "none (its arguments do not fit: 'a', 2)"),
        ("%d", ("a",), "%d (its arguments do not fit: 'a')"),
        ("%(a)s", ({"b": 1},), "%(a)s (its arguments do not fit: {'b': 1})"),
        ("100% %s", ("a",), "100% %s (its arguments do not fit: 'a')"),
        ("%s", (Mute(),), "%s (its arguments do not fit: (Mute without words))"),
    ],
)
def test_arguments_that_do_not_fit_lose_no_line(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, message: str, args: Any, expected: str
) -> None:
    """Too few, too many, of a wrong type, by a wrong name, without words."""
    logger.info(message, *args)

    assert ([expected], [expected]) == (kept_messages(logger), heard.messages)


def test_the_template_and_its_arguments_reach_handlers(
    logger: ContextLogger, heard: pytest.LogCaptureFixture
) -> None:
    """What groups messages by their template still can."""
    logger.info("%s of %s", 1, 2)

    assert [("%s of %s", (1, 2))] == [(each.msg, each.args) for each in heard.records]


@pytest.mark.fantasm(229)
def test_a_line_knows_where_it_was_logged() -> None:
    """The step, and the action that runs at the moment; exit and entry actions of one step differ in it."""
    logger, scope = make_logger()
    scope.action = "shop.Leave"
    logger.info("a")
    scope.action = "shop.Enter"
    logger.info("b")

    first, second = kept(logger)
    assert ("shop.Leave", "shop.Enter") == (first.action, second.action)
    assert (STEP, 101.0, 102.0) == (first.step, first.time, second.time)
    assert ("M", "M-1", "Ship", "paid") == (
        first.step.machine,
        first.step.instance,
        first.step.target,
        first.step.event,
    )


@pytest.mark.fantasm(229)
def test_before_the_start_the_state_is_pseudo_init() -> None:
    """The first step comes from no state."""
    logger, _ = make_logger(Step(InstanceId("M-1"), "M", "main", PSEUDO_INIT, PSEUDO_INIT, "Pay", 0))

    logger.info("x")

    assert "pseudo-init" == kept(logger)[0].step.state


def test_records_have_the_step_and_the_callers_line(
    logger: ContextLogger, heard: pytest.LogCaptureFixture
) -> None:
    """Handlers find attributes of the step beside what the logging module has; ``extra`` adds more."""
    logger.info("x", tags=["a"], extra={"order": 7, "state": "mine"})
    logger.exception("y")
    logger.log(20, "z")

    first = heard.records[0]
    assert ("M-1", "M", "mine", "paid", STEP.name, "shop.Ship", ("a",), 7) == tuple(
        getattr(first, name)
        for name in ("instance", "machine", "state", "event", "step", "action", "tags", "order")
    )
    here = test_records_have_the_step_and_the_callers_line.__code__
    assert [(here.co_filename, here.co_name)] * 3 == [
        (each.pathname, each.funcName) for each in heard.records
    ]
    assert [4, 5, 6] == [each.lineno - here.co_firstlineno for each in heard.records]


def test_a_stacklevel_leads_further_out(logger: ContextLogger, heard: pytest.LogCaptureFixture) -> None:
    """A function of the user's that logs for others names its caller, in both outputs."""

    def logs_for_others() -> None:
        logger.info("x", stacklevel=2, stack_info=True)

    logs_for_others()

    (line,) = kept(logger)
    assert "test_a_stacklevel_leads_further_out" == heard.records[0].funcName
    assert line.stack is not None
    assert "logs_for_others()" == line.stack.splitlines()[-1].strip()
    logger.info("x", stacklevel=10_000, stack_info=True)
    assert kept(logger)[1].stack is None


@pytest.mark.fantasm(230)
@pytest.mark.parametrize("how", ["exception", "true", "error", "tuple"])
def test_a_stack_is_kept_with_its_line(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, how: str
) -> None:
    """However the logging module is told of an exception."""
    try:
        raise ValueError("of this test")
    except ValueError as error:
        if how == "exception":
            logger.exception("x")
        else:
            given = {"true": True, "error": error, "tuple": (ValueError, error, error.__traceback__)}
            logger.error("x", exc_info=given[how])

    (line,) = kept(logger)
    assert line.stack is not None
    assert line.stack.startswith("Traceback (most recent call last):")
    assert "ValueError: of this test" == line.stack.splitlines()[-1]
    assert heard.records[0].exc_info is not None


@pytest.mark.fantasm(230)
@pytest.mark.parametrize("exc_info", [True, (None, None, None), None, False, 0])
def test_without_an_exception_there_is_no_stack(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, exc_info: Any
) -> None:
    """Fantasm kept 'NoneType: None' here."""
    logger.error("x", exc_info=exc_info)

    assert (None, None) == (kept(logger)[0].stack, heard.records[0].exc_info)
    assert "NoneType" not in heard.text


def test_the_place_of_a_line_is_kept_on_request(
    logger: ContextLogger, heard: pytest.LogCaptureFixture
) -> None:
    """``stack_info`` adds how the line was come to, after the traceback of an exception."""
    try:
        raise ValueError("of this test")
    except ValueError:
        logger.exception("x", stack_info=True)

    stack = kept(logger)[0].stack or ""
    assert stack.index("ValueError: of this test") < stack.index("Stack (most recent call last):")
    assert 'logger.exception("x", stack_info=True)' == stack.splitlines()[-1].strip()
    assert 'logger.exception("x", stack_info=True)' in (heard.records[0].stack_info or "")


@pytest.mark.fantasm(231)
@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ((), ()),
        ([], ()),
        (None, ()),
        ("", ("",)),
        ([""], ("",)),
        ("one", ("one",)),
        (["a", "b", "a"], ("a", "b")),
        ((each for each in ("x", 3)), ("x", "3")),
        ([Mute()], (UNPRINTABLE,)),
        (["\ud800"], ("\\ud800",)),
    ],
)
def test_tags_are_kept(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, tags: Any, expected: tuple[str, ...]
) -> None:
    """None at all, one, several, of any kind; each once."""
    logger.info("x", tags=tags)

    assert (expected, expected) == (kept(logger)[0].tags, heard.records[0].tags)


def test_tags_stay_within_what_datastore_indexes(logger: ContextLogger) -> None:
    """An indexed text has 1,500 bytes, and a thousand tags are somebody's mistake."""
    logger.info("x", tags=["\N{EURO SIGN}" * 1000, *map(str, range(1000))])
    logger.info("x", tags=map(str, range(MOST_TAGS)))

    first, second = kept(logger)
    assert TAG_LIMIT == len(first.tags[0].encode())
    assert (MOST_TAGS, "(952 more tags)") == (len(first.tags), first.tags[-1])
    assert tuple(map(str, range(MOST_TAGS))) == second.tags


@pytest.mark.fantasm(226)
@pytest.mark.parametrize("length", [MESSAGE_LIMIT - 1, MESSAGE_LIMIT, MESSAGE_LIMIT + 1, 3_000_000])
def test_a_long_message_is_cut_and_says_so(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, length: int
) -> None:
    """The beginning is kept; the logging module gets the whole."""
    text = "x" * length
    logger.info(text)

    (message,) = kept_messages(logger)
    assert min(length, MESSAGE_LIMIT) == len(message)
    assert (length > MESSAGE_LIMIT) == message.endswith(f"x (cut: the first part of {length:,} characters)")
    assert [text] == heard.messages


@pytest.mark.parametrize("over", [False, True])
def test_a_long_stack_is_cut_where_it_tells_least(logger: ContextLogger, over: bool) -> None:
    """The end is kept: there the error is."""
    logger.error("x", exc_info=ValueError("e" * (STACK_LIMIT - len("ValueError: \n") + over)))

    stack = kept(logger)[0].stack or ""
    assert STACK_LIMIT == len(stack)
    assert over == stack.startswith("(cut: the last part of 16,001 characters)\n")
    assert stack.endswith("e\n")


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00\x1b\u202e", "\N{EURO SIGN}"])
def test_any_text_can_be_stored(logger: ContextLogger, text: str) -> None:
    """Half a surrogate pair is kept as its escape."""
    logger.error(text, exc_info=ValueError(text))

    (line,) = kept(logger)
    expected = text.encode("utf-8", "backslashreplace").decode()
    assert expected == line.message
    assert expected in (line.stack or "")


def test_the_limit_of_a_message_counts_what_is_stored(logger: ContextLogger) -> None:
    """Escapes are longer than what they stand for."""
    logger.info("\ud800" * MESSAGE_LIMIT)

    assert MESSAGE_LIMIT == len(kept_messages(logger)[0])


@pytest.mark.parametrize("count", [MOST_LINES - 1, MOST_LINES, MOST_LINES + 1, MOST_LINES + 2000])
def test_the_last_of_too_many_lines_says_how_many_are_missing(
    logger: ContextLogger, heard: pytest.LogCaptureFixture, count: int
) -> None:
    """The first lines of an attempt are kept, and never more than fit into its commit."""
    for n in range(count):
        logger.info("%d", n)

    messages = kept_messages(logger)
    assert min(count, MOST_LINES) == len(messages)
    if count > MOST_LINES:
        lost = count - MOST_LINES + 1
        assert f"({lost:,} more lines of this attempt were not kept)" == messages.pop()
        assert count == len(messages) + lost
    assert [str(n) for n in range(len(messages))] == messages
    assert count == len(heard.records)


def test_the_lines_of_an_attempt_stay_small(logger: ContextLogger) -> None:
    """They are bounded in bytes as well; what comes after the first that was dropped is dropped too."""
    for n in range(MOST_LINES):
        logger.info("\N{EURO SIGN}" * MESSAGE_LIMIT + str(n), exc_info=ValueError("x" * 40_000))
    logger.info("short")

    lines = kept(logger)
    size = sum(len(each.message.encode()) + len((each.stack or "").encode()) for each in lines)
    assert 0.9 * MOST_BYTES < size < MOST_BYTES
    assert f"({502 - len(lines):,} more lines of this attempt were not kept)" == lines[-1].message


def test_one_missing_line_is_told_in_the_singular(logger: ContextLogger) -> None:
    """Where the bytes and not the number are the bound, the notice takes no line's place."""
    while not kept(logger) or "not kept" not in kept_messages(logger)[-1]:
        logger.info("x" * MESSAGE_LIMIT)

    assert "(1 more line of this attempt was not kept)" == kept_messages(logger)[-1]


def test_lines_of_an_attempt_have_the_same_names_always(logger: ContextLogger) -> None:
    """A commit that is sent again writes the same rows; other attempts and epochs write others."""
    for n in range(3):
        logger.info("%d", n)

    names = [
        [each.name for each in logger.take(epoch, attempt)]
        for epoch, attempt in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert names[0] == names[1]
    assert 9 == len({name for some in names for name in some})
    assert {None} == {each[:8].strip("0123456789abcdef") or None for each in names[0]}
    assert [f"-{STEP.name}--e0-a1-l{n:03}" for n in range(3)] == [each[8:] for each in names[0]]
    assert all(len(each.encode()) <= 1500 for each in names[0])


def test_what_was_dropped_is_told_the_same_each_time(logger: ContextLogger) -> None:
    """The lines are frozen when the last was logged, not when they are taken."""
    for n in range(MOST_LINES + 1):
        logger.info("%d", n)

    assert logger.take(0, 1) == logger.take(0, 1)


def test_a_line_is_what_its_arguments_were(logger: ContextLogger) -> None:
    """What an action changes afterwards changes no line."""
    things = [1]
    logger.info("%s", things)
    logger.info(things)
    things.append(2)

    assert ["[1]", "[1]"] == kept_messages(logger)
