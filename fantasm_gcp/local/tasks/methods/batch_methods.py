"""The methods of the API that create or delete many tasks and answer an operation that is already done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty

from fantasm_gcp.local.rpc import Method, RpcError
from fantasm_gcp.local.tasks import messages, refusals
from fantasm_gcp.local.tasks.methods.operations import Operations
from fantasm_gcp.local.tasks.methods.task_methods import TaskMethods, prepare
from fantasm_gcp.local.tasks.methods.task_view import show_new_task
from fantasm_gcp.local.tasks.names import parse_queue
from fantasm_gcp.local.tasks.scheduling.state import State
from fantasm_gcp.local.tasks.times import fill

_MOST_CREATES = 100
_MOST_DELETES = 1000


class BatchMethods:
    """BatchCreateTasks and BatchDeleteTasks: not atomic, each request of a batch succeeds or fails by itself.

    A batch with the ``request_id`` of an earlier one is answered with the earlier one's operation, while that
    is kept.
    """

    def __init__(self, state: State, tasks: TaskMethods, operations: Operations) -> None:
        self._state = state
        self._tasks = tasks
        self._operations = operations

    def methods(self) -> dict[str, Method]:
        """The methods by their names in the API."""
        return {
            "BatchCreateTasks": Method(messages.BatchCreateTasksRequest, Operation, self.batch_create_tasks),
            "BatchDeleteTasks": Method(messages.BatchDeleteTasksRequest, Operation, self.batch_delete_tasks),
        }

    def batch_create_tasks(self, request: Any) -> Any:
        """Creates up to 100 tasks of one queue."""
        parse_queue(request.parent)
        if not 1 <= len(request.requests) <= _MOST_CREATES:
            raise refusals.invalid(f"A batch must have 1 to {_MOST_CREATES} requests.")
        if any(single.parent != request.parent for single in request.requests):
            raise refusals.invalid("The parent of every request of a batch must be the parent of the batch.")
        return self._once("create", request, self._create)

    def batch_delete_tasks(self, request: Any) -> Any:
        """Deletes up to 1,000 tasks of one queue."""
        parse_queue(request.parent)
        if not 1 <= len(request.names) <= _MOST_DELETES:
            raise refusals.invalid(f"A batch must have 1 to {_MOST_DELETES} names.")
        if any(not name.startswith(f"{request.parent}/tasks/") for name in request.names):
            raise refusals.invalid("The names of a batch must be names of tasks of its parent.")
        return self._once("delete", request, self._delete)

    def _once(self, kind: str, request: Any, carry_out: Callable[[Any, int], Any]) -> Any:
        key = (kind, request.parent, request.request_id) if request.request_id else None
        with self._state.call() as now:
            operation = None if key is None else self._operations.earlier(key)
            if operation is None:
                operation = carry_out(request, now)
                self._operations.keep(operation, request.parent.partition("/queues/")[0], key)
            return operation

    def _create(self, request: Any, now: int) -> Any:
        queue = self._state.queue_for_tasks(request.parent, now)
        failed: dict[int, RpcError] = {}
        response = messages.BatchCreateTasksResponse()
        with self._state.transaction():
            for index, single in enumerate(request.requests):
                prepared = prepare(single, now)
                if isinstance(prepared, RpcError):
                    failed[index] = prepared
                    continue
                stored, due = prepared
                try:
                    self._tasks.add(queue, stored, due, now)
                except RpcError as refusal:
                    failed[index] = refusal
                else:
                    response.tasks.append(show_new_task(stored, single.response_view))
        self._state.changed.notify_all()
        return self._done(messages.BatchCreateTasksMetadata, response, failed, len(request.requests), now)

    def _delete(self, request: Any, now: int) -> Any:
        self._state.queue(request.parent)
        failed: dict[int, RpcError] = {}
        with self._state.transaction():
            for index, name in enumerate(request.names):
                try:
                    self._state.drop_task(self._tasks.existing(name, now), now)
                except RpcError as refusal:
                    failed[index] = refusal
        return self._done(messages.BatchDeleteTasksMetadata, Empty(), failed, len(request.names), now)

    def _done(
        self, metadata_class: Any, response: Any, failed: dict[int, RpcError], asked: int, now: int
    ) -> Any:
        metadata = metadata_class()
        fill(metadata.start_time, now)
        fill(metadata.end_time, self._state.now())
        for index, refusal in failed.items():
            metadata.failed_requests[index].code = refusal.code.value[0]
            metadata.failed_requests[index].message = refusal.message
        # The reference describes the failure of every request under this state too, not under FAILED.
        metadata.state = (
            metadata_class.State.PARTIALLY_SUCCEEDED if failed else metadata_class.State.SUCCEEDED
        )
        operation = Operation()
        operation.metadata.Pack(metadata)
        if len(failed) == asked:
            operation.error.code = grpc.StatusCode.ABORTED.value[0]
            operation.error.message = (
                f"None of the requests succeeded, refer to {metadata_class.DESCRIPTOR.name}.failed_requests "
                "for individual error details"
            )
        else:
            operation.response.Pack(response)
        return operation
