"""Runs sequences on the local Datastore and on an emulator, and finds where their answers differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import grpc

from differential.execution import Reply, execute, new_project
from differential.gaps import Gap
from differential.normal import Answer, normalise
from differential.operations import Operation
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import LocalChannel


@dataclass(frozen=True, slots=True)
class Difference:
    """The first operation of a sequence that was answered differently, and both answers as they compare."""

    operation: Operation
    ours: Answer
    theirs: Answer
    our_details: str = ""
    their_details: str = ""

    def signature(self) -> tuple[str, ...]:
        """What kind of difference it is: two of the same kind most likely have the same cause."""
        parts = sorted({*self.ours, *self.theirs})
        differing = [part for part in parts if self.ours.get(part) != self.theirs.get(part)]
        return (self.operation.method, self.ours["status"], self.theirs["status"], *differing)

    def in_words(self) -> str:
        """Both answers, and what was said with them."""
        return (
            f"# {self.operation.number} {self.operation.method}\n"
            f"#   ours   {self.ours} {self.our_details}\n#   theirs {self.theirs} {self.their_details}"
        )


Ran = tuple[list[Reply], list[Answer]]
Run = Callable[[Sequence[Operation]], Ran]
"""Sends a sequence to one backend, in a project of its own."""


def local(operations: Sequence[Operation]) -> Ran:
    """Runs a sequence on a new local Datastore in this process."""
    server = DatastoreServer()
    try:
        return _run(operations, LocalChannel(server.service))
    finally:
        server.close()


def remote(channel: grpc.Channel) -> Run:
    """How to run sequences on the backend behind a channel."""
    return lambda operations: _run(operations, channel)


def _run(operations: Iterable[Operation], channel: grpc.Channel) -> Ran:
    project = new_project()
    replies = execute(operations, channel, project)
    return replies, normalise(replies, project)


def compare(
    operations: Sequence[Operation], ours: Run, theirs: Run, gaps: Iterable[Gap] = ()
) -> Difference | None:
    """The first difference in the answers to a sequence that no gap excuses."""
    gaps = tuple(gaps)
    (our_replies, our_answers), (their_replies, their_answers) = ours(operations), theirs(operations)
    unlike: set[int] = set()
    for operation, left, right, answer, other in zip(
        operations, our_replies, their_replies, our_answers, their_answers, strict=True
    ):
        shown, expected = _blurred(operation, answer, gaps), _blurred(operation, other, gaps)
        if shown == expected:
            continue
        follows = any(earlier.number in unlike for earlier in operation.earlier())
        if not follows and not _excused(operation, left, right, gaps):
            return Difference(operation, shown, expected, left.details, right.details)
        if operation.method == "Commit" and "OK" in (left.status, right.status):
            return None  # from here on they may hold different entities
        unlike.add(operation.number)  # what is made from its answer is no longer the same request
    return None


def _excused(operation: Operation, ours: Reply, theirs: Reply, gaps: Iterable[Gap]) -> bool:
    return any(gap.excuses is not None and gap.excuses(operation, ours, theirs) for gap in gaps)


def _blurred(operation: Operation, answer: Answer, gaps: Iterable[Gap]) -> Answer:
    for gap in gaps:
        if gap.blurs is not None:
            answer = gap.blurs(operation, answer)
    return answer
