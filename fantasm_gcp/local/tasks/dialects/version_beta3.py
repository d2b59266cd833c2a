"""Version v2beta3 of the API, by the methods of v2: ``gcloud beta tasks`` and gcloud-aio-taskqueue speak it.

Its messages have the fields of v2 under numbers of their own, and a few more: a queue has a ``type``, its
routing of App Engine tasks lies one message deeper, and ``stats`` come when the read mask names them. What
only that version can ask for and nothing here does, pull queues above all, is refused by name.
"""

from __future__ import annotations

from typing import Any, Final

# The pool of descriptors has the messages only once their modules are imported.
import google.cloud.tasks_v2beta3.types  # noqa: F401
from google.longrunning.operations_pb2 import Operation
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.field_mask_pb2 import FieldMask

from fantasm_gcp.local.rpc import Method, Service
from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.dialects.translation import carry
from fantasm_gcp.local.tasks.server import TasksServer
from fantasm_gcp.local.tasks.times import fill, micros

SERVICE_NAME: Final = "google.cloud.tasks.v2beta3.CloudTasks"

_V2 = "google.cloud.tasks.v2."
_BETA3 = "google.cloud.tasks.v2beta3."
_PUSH = 2
_NESTED = "app_engine_http_queue"
_ROUTING = "app_engine_routing_override"


def beta3_service(service: Service, server: TasksServer) -> Service:
    """The service of v2beta3 over ``service``, that of v2; ``server`` knows its queues and operations."""
    methods = service.methods.items()
    translated = {name: _translated(method, server) for name, method in methods}
    return Service(SERVICE_NAME, translated, service.check_timeout)


def _translated(method: Method, server: TasksServer) -> Method:
    """A method in the messages of v2beta3."""
    request_class, response_class = _twin(method.request), _twin(method.response)

    def answer(asked: Any) -> Any:
        mask = _read_mask(asked)
        request, response = method.request(), response_class()
        carry(asked, request, _odd_of_beta3)
        if "update_mask" in request.DESCRIPTOR.fields_by_name:
            request.update_mask.paths[:] = map(_update_path, request.update_mask.paths)
        carry(method.call(request), response, _odd_of_v2)
        if response_class is Operation:
            _repack(response)
            server.replace_operation(response)
        for queue in _queues_of(response):
            queue.type_ = _PUSH
            if mask is not None:
                _show_only(mask, queue, server)
        return response

    return Method(request_class, response_class, answer)


def _twin(kind: type[Any]) -> Any:
    """The class of v2beta3 for one of v2; what belongs to neither is its own."""
    name = kind.DESCRIPTOR.full_name
    if not name.startswith(_V2):
        return kind
    return _message_class(_BETA3 + name.removeprefix(_V2))


def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def _odd_of_beta3(source: Any, target: Any, name: str) -> None:
    """A field that v2 does not have, in a request."""
    if name == _NESTED:
        carry(source.app_engine_http_queue, target, _odd_of_beta3)
    elif name == "type_" and source.type_ != _PUSH:
        raise refusals.unimplemented("The local Cloud Tasks server has push queues only.")
    elif name not in ("type_", "stats", "read_mask"):
        raise refusals.unimplemented(f"The local Cloud Tasks server does not have {name} of v2beta3.")


def _odd_of_v2(source: Any, target: Any, name: str) -> None:
    """A field that v2beta3 does not have, in a response."""
    if name == _ROUTING:
        carry(
            source.app_engine_routing_override,
            target.app_engine_http_queue.app_engine_routing_override,
            _odd_of_v2,
        )


def _update_path(path: str) -> str:
    """A path of an update mask as v2 has it; gcloud names the routing so already."""
    if path == _NESTED:
        return _ROUTING
    return path.removeprefix(f"{_NESTED}.")


def _repack(operation: Any) -> None:
    """Has an operation hold messages of v2beta3."""
    for packed in (operation.metadata, operation.response):
        name = packed.TypeName()
        if name.startswith(_V2):
            held = _message_class(name).FromString(packed.value)
            translated = _twin(type(held))()
            carry(held, translated, _odd_of_v2)
            packed.Pack(translated)


# -- what v2beta3 shows of queues


def _read_mask(asked: Any) -> Any:
    """The read mask of a request, None when it has none; INVALID_ARGUMENT for a path that no queue has."""
    if "read_mask" not in asked.DESCRIPTOR.fields_by_name or not asked.HasField("read_mask"):
        return None
    mask = FieldMask(paths=["type_" if path == "type" else path for path in asked.read_mask.paths])
    if not mask.paths or not mask.IsValidForDescriptor(_message_class(f"{_BETA3}Queue").DESCRIPTOR):
        raise refusals.invalid("Invalid field mask in the request.")
    return mask


def _queues_of(response: Any) -> list[Any]:
    name = response.DESCRIPTOR.full_name
    if name == f"{_BETA3}ListQueuesResponse":
        return list(response.queues)
    return [response] if name == f"{_BETA3}Queue" else []


def _show_only(mask: Any, queue: Any, server: TasksServer) -> None:
    """Leaves of a queue what the mask names: its statistics, too, as in the reference only then."""
    whole = type(queue)()
    whole.CopyFrom(queue)
    if any(path == "stats" or path.startswith("stats.") for path in mask.paths):
        _count(whole, server)
    queue.Clear()
    mask.MergeMessage(whole, queue)


def _count(queue: Any, server: TasksServer) -> None:
    """Fills in the statistics of a queue: exact ones, where the real service estimates."""
    seen, stats = server.queue(queue.name), queue.stats
    stats.tasks_count = seen.depth
    stats.concurrent_dispatches_count = seen.in_flight
    stats.effective_execution_rate = seen.message.rate_limits.max_dispatches_per_second
    if seen.next_due is not None:
        fill(stats.oldest_estimated_arrival_time, micros(seen.next_due))
    stats.executed_last_minute_count = seen.replies
