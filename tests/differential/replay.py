"""A sequence as a program that runs it again, and the way it is run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pprint import pformat

import grpc

from differential.comparison import Difference, compare, local, remote
from differential.gaps import gaps_of
from differential.operations import Operation


def program(operations: Iterable[Operation], emulator: str) -> str:
    """Python that sends the operations to the local Datastore and to an emulator, and shows a difference."""
    lines = [
        "from differential.operations import Earlier, Operation",
        "from differential.replay import replay",
        "",
        "OPERATIONS = [",
        *(
            f"    Operation({each.number}, {each.method!r}, {pformat(dict(each.fields), width=100, sort_dicts=False)}),"
            for each in operations
        ),
        "]",
        "inf, nan = float('inf'), float('nan')",
        f"replay(OPERATIONS, {emulator!r}, host='127.0.0.1:8081')",
    ]
    lines.insert(0, lines.pop(-2))  # the numbers first: the operations may hold them
    return "\n".join(lines)


def replay(operations: Sequence[Operation], emulator: str, host: str) -> Difference | None:
    """Runs operations on the local Datastore and on the emulator at ``host``; prints both answers."""
    with grpc.insecure_channel(host) as channel:
        for operation, ours, theirs in zip(
            operations, local(operations)[1], remote(channel)(operations)[1], strict=True
        ):
            print(f"{operation.number} {operation.method}\n  ours   {ours}\n  theirs {theirs}")
        difference = compare(operations, local, remote(channel), gaps_of(emulator))
    print(f"first difference: {difference}")
    return difference
