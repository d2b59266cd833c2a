"""queue.yaml: what it may say, what becomes of it, and where its mistakes are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import QueueEntry, QueueFile, load_queues, parse_queues

WHOLE = """\
# Of an application of 2015, as App Engine's reference has it.
total_storage_limit: 120M
queue:
- name: default
  rate: 35/s
- &blue
  name: blue
  mode: push
  target: v2.task-module
  rate: 10.5/m
  bucket_size: 40
  max_concurrent_requests: 10
  retry_parameters:
    task_retry_limit: 7
    task_age_limit: 2d
    min_backoff_seconds: 10
    max_backoff_seconds: 200.5
    max_doublings: 3
- name: red
  <<: *blue
  rate: 0
  target: worker
  retry_parameters: {task_retry_limit: 0}
  acl:
  - user_email: bar@foo.com
"""


def one(text: str) -> QueueEntry:
    """The entry of a file with one queue, to which these lines belong."""
    lines = "".join(f"  {line}\n" for line in text.splitlines())
    (entry,) = parse_queues(f"queue:\n- name: a\n{lines}", "queue.yaml").queues
    return entry


def problems(text: str) -> list[str]:
    """The first line of each problem of a file, without the file's name."""
    with pytest.raises(DefinitionError) as caught:
        parse_queues(text, "queue.yaml")
    return [str(each).splitlines()[0].removeprefix("queue.yaml:") for each in caught.value.problems]


def test_a_whole_file_is_read() -> None:
    """In its order; what has no effect is a warning with its place."""
    read = parse_queues(WHOLE, "queue.yaml")

    assert [
        ("default", 35.0, 5, 1000, "", "", None, 0, 0.1, 3600.0, 16),
        ("blue", 10.5 / 60, 40, 10, "task-module", "v2", 7, 172_800, 10.0, 200.5, 3),
        ("red", 0.0, 40, 10, "worker", "", 0, 0, 0.1, 3600.0, 16),
    ] == [
        (
            *(each.name, each.rate, each.bucket_size, each.max_concurrent_requests, each.service),
            *(each.version, each.task_retry_limit, each.task_age_limit, each.min_backoff_seconds),
            *(each.max_backoff_seconds, each.max_doublings),
        )
        for each in read.queues
    ]
    assert [
        "queue.yaml:2:22: warning: total_storage_limit has no effect here",
        "queue.yaml:25:3: warning: acl is for pull queues and has no effect here",
    ] == [str(each).splitlines()[0] for each in read.warnings]
    assert [4, 6, 19] == [each.place.line for each in read.queues]


@pytest.mark.parametrize("text", ["queue:", "queue: []", "queue: null\nresume_paused_queues: true"])
def test_a_file_may_have_no_queues(text: str) -> None:
    """As gcloud takes it."""
    assert parse_queues(text, "queue.yaml").queues == ()


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("5/s", 5.0),
        ("500/s", 500.0),
        ("30000/m", 500.0),
        ("90/m", 1.5),
        ("36/h", 0.01),
        ("864./d", 0.01),
        ("0", 0.0),
        ("'0'", 0.0),
        ("0/s", 0.0),
        ("0.000/d", 0.0),
    ],
)
def test_a_rate_is_per_second(rate: str, expected: float) -> None:
    """Whatever unit it is written in; 0 pauses the queue."""
    assert expected == pytest.approx(one(f"rate: {rate}").rate)


@pytest.mark.parametrize(
    ("age", "expected"), [("1s", 1), ("1.9s", 1), ("90m", 5400), ("1.5h", 5400), ("2d", 172_800), ("1e3s", 1000)]
)  # fmt: skip
def test_an_age_limit_is_in_whole_seconds(age: str, expected: int) -> None:
    """Cut off, as gcloud does it."""
    assert expected == one(f"rate: 1/s\nretry_parameters: {{task_age_limit: {age}}}").task_age_limit


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("min_backoff_seconds: 0.05", (0.05, 3600.0)),
        ("min_backoff_seconds: 7200", (7200.0, 7200.0)),
        ("max_backoff_seconds: 0.05", (0.05, 0.05)),
        ("max_backoff_seconds: 10", (0.1, 10.0)),
        ("min_backoff_seconds: 5, max_backoff_seconds: '5'", (5.0, 5.0)),
    ],
)
def test_of_two_backoffs_the_one_that_is_not_written_gives_way(
    given: str, expected: tuple[float, float]
) -> None:
    """A default never makes a file wrong."""
    entry = one(f"rate: 1/s\nretry_parameters: {{{given}}}")

    assert expected == (entry.min_backoff_seconds, entry.max_backoff_seconds)


def test_zeros_that_nobody_can_say_stand_for_the_default_with_a_warning() -> None:
    """For gcloud and for the API, 0 is no value but for the limit of retries and the rate."""
    text = (
        "queue:\n- {name: a, rate: 1/s, bucket_size: 0, max_concurrent_requests: 0, "
        "retry_parameters: {max_doublings: 0, min_backoff_seconds: 0, max_backoff_seconds: 0.0}}"
    )
    read = parse_queues(text, "queue.yaml")
    plain = parse_queues("queue:\n- {name: a, rate: 1/s}", "queue.yaml").queues[0]

    entry = read.queues[0]
    assert (5, 1000, 16, 0.1, 3600.0) == (
        entry.bucket_size,
        entry.max_concurrent_requests,
        entry.max_doublings,
        entry.min_backoff_seconds,
        entry.max_backoff_seconds,
    )
    assert (plain.bucket_size, plain.max_doublings) == (5, 16)
    assert [f"{name} 0 stands for the default, {default}" for name, default in (
        ("bucket_size", "5"),
        ("max_concurrent_requests", "1000"),
        ("max_doublings", "16"),
        ("min_backoff_seconds", "0.1"),
        ("max_backoff_seconds", "3600"),
    )] == [each.message for each in read.warnings]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("name: a_b", "3:9: error: name 'a_b' is not allowed; 1 to 100 letters, digits and dashes"),
        ("name: on", "3:9: error: name 'on' is a bool in YAML; write it in quotes: 'on'"),
        ("name: 2026-01-01", "3:9: error: name '2026-01-01' is a date in YAML; write it in quotes: '2026-01-01'"),
        ("name: ''", "3:9: error: name '' is not allowed; 1 to 100 letters, digits and dashes"),
        ("name: [a]", "3:9: error: name is a single value; 1 to 100 letters, digits and dashes"),
        ("mode: pull", "3:9: error: Cloud Tasks has no pull queues; take the queue out, or make it 'push'"),
        ("mode: PUSH", "3:9: error: mode 'PUSH' is not allowed; it is push"),
        ("rate: 501/s", "3:9: error: rate '501/s' is more than 500 per second"),
        ("rate: 1/s\n  rate: 2/s", "4:3: error: rate is written twice"),
        ("target: -a", "3:11: error: target '-a' is no version and service; write service or version.service"),
        ("target: a.b.c", "3:11: error: target 'a.b.c' is no version and service; write service or version.service"),
        ("target: Worker", "3:11: error: target 'Worker' is no version and service; write service or version.service"),
        ("bucket_size: 501", "3:16: error: bucket_size '501' is not between 0 and 500"),
        ("bucket_size: -1", "3:16: error: bucket_size '-1' is not between 0 and 500"),
        ("bucket_size: 5.0", "3:16: error: bucket_size '5.0' is no whole number"),
        ("bucket_size: 010", "3:16: error: bucket_size '010' is no whole number"),
        ("bucket_size: 1:30", "3:16: error: bucket_size '1:30' is no whole number"),
        ("bucket_size: ten", "3:16: error: bucket_size 'ten' is no whole number"),
        ("bucket_size: !!python/none x", "3:16: error: the tag 'tag:yaml.org,2002:python/none' is not allowed"),
        ("max_concurrent_requests: 5001", "3:28: error: max_concurrent_requests '5001' is not between 0 and 5000"),
        ("max_concurrent_request: 1", "3:3: error: a queue has no attribute 'max_concurrent_request'; did you mean 'max_concurrent_requests'?"),
        ("retry_parameters: 5", "3:21: error: retry_parameters is a mapping; write 'name: value' in each line"),
        ("retry_parameters: {task_retry_limit: -1}", "3:40: error: task_retry_limit '-1' is not between 0 and 2147483646"),
        ("retry_parameters: {task_retry_limit: 2147483647}", "3:40: error: task_retry_limit '2147483647' is not between 0 and 2147483646"),
        ("retry_parameters: {task_age_limit: 0s}", "3:38: error: task_age_limit '0s' is not between 1 second and 10,000 years"),
        ("retry_parameters: {task_age_limit: 1e999d}", "3:38: error: task_age_limit '1e999d' is not between 1 second and 10,000 years"),
        ("retry_parameters: {task_age_limit: 5}", "3:38: error: task_age_limit '5' is no span of time; write it like 90s, 30m, 12h or 2d"),
        ("retry_parameters: {min_backoff_seconds: -1}", "3:43: error: min_backoff_seconds '-1' is no number of seconds"),
        ("retry_parameters: {min_backoff_seconds: .inf}", "3:43: error: min_backoff_seconds '.inf' is no number of seconds"),
        ("retry_parameters: {min_backoff_seconds: 1e3}", "3:43: error: min_backoff_seconds '1e3' is no number of seconds"),
        ("retry_parameters: {min_backoff_seconds: 10, max_backoff_seconds: 9}", "3:43: error: min_backoff_seconds 10 is more than max_backoff_seconds 9"),
        ("retry_parameters: {retries: 1}", "3:22: error: retry_parameters has no attribute 'retries'; there are: 'task_retry_limit', 'task_age_limit', 'min_backoff_seconds', 'max_backoff_seconds', 'max_doublings'"),
        ("? [rate]\n  : 1", "3:5: error: a queue has no attribute ''"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(line: str, expected: str) -> None:
    """With a hint where there is one to give."""
    rest = {"name": "name: a", "rate": "rate: 1/s"}
    rest.pop(line.partition(":")[0], None)
    block = "".join(f"  {each}\n" for each in rest.values())

    assert expected in problems(f"queue:\n-\n  {line}\n{block}")


@pytest.mark.parametrize("number", ["9" * 5000, "1" * 400 + "/s"])
def test_numbers_of_any_length_are_told_and_not_computed(number: str) -> None:
    """Python refuses to read thousands of digits."""
    for line in (
        f"rate: {number}",
        f"bucket_size: '{number}'",
        f"retry_parameters: {{task_age_limit: '{number}s', min_backoff_seconds: '{number}'}}",
    ):
        assert problems(f"queue:\n- name: a\n  rate: 1/s\n  {line}\n")


def test_all_mistakes_are_told_at_once() -> None:
    """In the order of the file, in all its queues."""
    text = "queues: []\nqueue:\n- name: a\n- rate: 5\n- name: b\n  rate: 1/s\n- {name: b, rate: 2/s}\n- 7\n"

    assert [
        "1:1: error: the file has no attribute 'queues'; did you mean 'queue'?",
        "3:3: error: a queue needs 'rate'; write it like 5/s, 10.5/m, 100/h or 1/d, or 0 for a paused queue",
        "4:3: error: a queue needs 'name'; 1 to 100 letters, digits and dashes",
        "4:9: error: rate '5' is no rate; write it like 5/s, 10.5/m, 100/h or 1/d, or 0 for a paused queue",
        "7:3: error: there is a queue 'b' already, in line 5",
        "8:3: error: a queue is a mapping; write 'name: value' in each line",
    ] == problems(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: error: the file is empty; it begins with 'queue:'"),
        ("# nothing\n", "1:1: error: the file is empty; it begins with 'queue:'"),
        ("{}", "1:1: error: there is no 'queue'; the file lists its queues under 'queue:'"),
        ("[]", "1:1: error: the file is a mapping; write 'name: value' in each line"),
        ("queue: 5", "1:8: error: queue is a list; begin each item with a dash: '- '"),
        ("queue: {name: a}", "1:8: error: queue is a list; begin each item with a dash: '- '"),
        ("queue: *no", "1:8: error: there is no anchor &no above"),
        ("queue: []\n---\nqueue: []", "2:1: error: a second document begins here; a definition file is one document"),
    ],
)  # fmt: skip
def test_what_is_no_queue_yaml_is_told(text: str, expected: str) -> None:
    """Down to an empty file."""
    assert [expected] == problems(text)


def test_a_file_is_read_from_the_disk(tmp_path: Path) -> None:
    """In UTF-8, or what it is not is told."""
    path = tmp_path / "queue.yaml"
    path.write_text("\ufeffqueue:\n- {name: a, rate: 1/s}\n", encoding="utf-8")
    read = load_queues(path)
    assert isinstance(read, QueueFile)
    assert ["a"] == [each.name for each in read.queues]

    path.write_bytes(b"queue:\n- name: \xff\n")
    with pytest.raises(DefinitionError, match=r"queue\.yaml:2:9: error: the file is not UTF-8"):
        load_queues(path)
    with pytest.raises(DefinitionError, match=r"there is no file 'queues\.yaml' in"):
        load_queues(tmp_path / "queues.yaml")
    with pytest.raises(DefinitionError, match="cannot be read"):
        load_queues(tmp_path)
