"""The methods of the API that are about queues."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty

from fantasm_gcp.local.rpc import Method
from fantasm_gcp.local.tasks import messages, refusals
from fantasm_gcp.local.tasks.configuration.queue_config import check_queue, complete_queue, merge_queue
from fantasm_gcp.local.tasks.methods.pages import parse_page_size, parse_token, render_token
from fantasm_gcp.local.tasks.methods.queue_filter import parse_filter
from fantasm_gcp.local.tasks.names import check_location, parse_queue
from fantasm_gcp.local.tasks.scheduling.state import LiveQueue, State
from fantasm_gcp.local.tasks.times import fill

_MOST_QUEUES = 9800


class QueueMethods:
    """CreateQueue to ResumeQueue; each raises ``RpcError`` as the real service would refuse."""

    def __init__(self, state: State) -> None:
        self._state = state

    def methods(self) -> dict[str, Method]:
        """The methods by their names in the API."""
        queue = messages.Queue
        return {
            "ListQueues": Method(messages.ListQueuesRequest, messages.ListQueuesResponse, self.list_queues),
            "GetQueue": Method(messages.GetQueueRequest, queue, self.get_queue),
            "CreateQueue": Method(messages.CreateQueueRequest, queue, self.create_queue),
            "UpdateQueue": Method(messages.UpdateQueueRequest, queue, self.update_queue),
            "DeleteQueue": Method(messages.DeleteQueueRequest, Empty, self.delete_queue),
            "PurgeQueue": Method(messages.PurgeQueueRequest, queue, self.purge_queue),
            "PauseQueue": Method(messages.PauseQueueRequest, queue, self.pause_queue),
            "ResumeQueue": Method(messages.ResumeQueueRequest, queue, self.resume_queue),
        }

    def list_queues(self, request: Any) -> Any:
        """The queues of a location by name, page by page; a filter makes the pages shorter, not fewer."""
        check_location(request.parent)
        size = parse_page_size(request.page_size, _MOST_QUEUES)
        passes = parse_filter(request.filter)
        listed = f"{request.parent}\n{request.filter}"
        with self._state.call() as now:
            last = parse_token(listed, request.page_token, now)
            prefix = f"{request.parent}/queues/"
            names = sorted(name for name in self._state.queues if name.startswith(prefix) and name > last)
            found = [message for name in names[:size] if passes(message := self._state.queues[name].message)]
            token = render_token(listed, names[size - 1], now) if len(names) > size else ""
            return messages.ListQueuesResponse(queues=found, next_page_token=token)

    def get_queue(self, request: Any) -> Any:
        """A queue by its name."""
        with self._state.call():
            return self._state.queue(request.name).message

    def create_queue(self, request: Any) -> Any:
        """Creates a queue; refused while the name is taken, or was until a short while ago."""
        check_location(request.parent)
        if not request.HasField("queue"):
            raise refusals.invalid(refusals.NO_QUEUE)
        name = request.queue.name
        location, _, _ = parse_queue(name)
        if location != request.parent:
            raise refusals.invalid(f"{name} must begin with {request.parent}.")
        check_queue(request.queue)
        with self._state.call() as now:
            if name in self._state.queues:
                raise refusals.exists(refusals.QUEUE_EXISTS)
            return self._create(request.queue, now)

    def update_queue(self, request: Any) -> Any:
        """Changes the fields that the mask names, all without a mask; creates a queue that is missing."""
        name = request.queue.name
        parse_queue(name)
        check_queue(request.queue)
        with self._state.call() as now:
            queue = self._state.queues.get(name)
            if queue is None:
                return self._create(request.queue, now)
            merged = merge_queue(queue.message, request.queue, request.update_mask)
            message = complete_queue(merged, name, self._state.defaults)
            message.state = queue.message.state
            if queue.message.HasField("purge_time"):
                message.purge_time.CopyFrom(queue.message.purge_time)
            self._state.replace_queue(queue, message)
            return message

    def delete_queue(self, request: Any) -> Any:
        """Deletes a queue and its tasks; their names stay taken for a while."""
        parse_queue(request.name)
        with self._state.call() as now:
            queue = self._state.queues.get(request.name)
            if queue is None:
                raise refusals.not_found(refusals.ENTITY_NOT_FOUND)
            self._state.remove_queue(queue, now)
            return Empty()

    def purge_queue(self, request: Any) -> Any:
        """Deletes the tasks of a queue, at once; their names stay taken for a while."""
        with self._state.call() as now:
            queue = self._state.queue(request.name)
            message = _copy(queue)
            fill(message.purge_time, now)
            self._state.purge_queue(queue, message, now)
            return message

    def pause_queue(self, request: Any) -> Any:
        """Lets no further attempt begin; tasks may still be created. Idempotent."""
        return self._set_state(request.name, messages.PAUSED)

    def resume_queue(self, request: Any) -> Any:
        """Lets attempts begin again. Idempotent."""
        return self._set_state(request.name, messages.RUNNING)

    def _create(self, asked: Any, now: int) -> Any:
        if self._state.store.buried(asked.name, now):
            raise refusals.precondition(refusals.QUEUE_TOO_RECENT)
        return self._state.add_queue(complete_queue(asked, asked.name, self._state.defaults)).message

    def _set_state(self, name: str, state: int) -> Any:
        with self._state.call():
            queue = self._state.queue(name)
            message = _copy(queue)
            message.state = state
            self._state.replace_queue(queue, message)
            return message


def _copy(queue: LiveQueue) -> Any:
    message = messages.Queue()
    message.CopyFrom(queue.message)
    return message
