"""One of the local servers in a process of its own, which ends when its standard input does.

    python -m benchmarks.local_server datastore FILE PORT
    python -m benchmarks.local_server tasks FILE PORT URL THREADS [RATE]

It prints the port that it listens at; 0 asks for a free one. ``:memory:`` for a file keeps nothing, RATE is
the dispatches per second of a queue that sets none. What it logs goes to standard error.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import serve
from fantasm_gcp.local.tasks import Dispatcher, HttpDelivery, TasksServer

HOST = "127.0.0.1"


def main(arguments: Sequence[str]) -> None:
    """Serves until there is no more standard input, or until it is killed: it has nothing to finish."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    kind, file, port, *rest = arguments
    if kind == "datastore":
        _, bound = serve(DatastoreServer(file).service, HOST, int(port))
    else:
        url, threads, *rate = rest
        tasks = TasksServer(file, max_dispatches_per_second=float(rate[0]) if rate else 500.0)
        _, bound = serve(tasks.service, HOST, int(port))
        Dispatcher(tasks, HttpDelivery(url), int(threads)).start()
    print(bound, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
