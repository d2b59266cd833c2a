"""BufferTask: a task from nothing but the body of its request, for queues that have an HTTP target.

The clients for gRPC do not have this method: whoever uses it sends an HTTP request himself. Its messages are
made here, with the fields and numbers of the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# The pool of descriptors has the body's message only once its module is imported.
from google.api import httpbody_pb2  # type: ignore[import-untyped]  # ships no types
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from fantasm_gcp.local.rpc import Method
from fantasm_gcp.local.tasks.configuration.http_target import build_buffered
from fantasm_gcp.local.tasks.messages import GetQueueRequest, Task

_PACKAGE = "fantasm_gcp.local.tasks"  # not Google's own: a later release of the client may have the names


def buffer_methods(get_queue: Callable[[Any], Any], create_task: Callable[[Any], Any]) -> dict[str, Method]:
    """The method by its name in the API, made of GetQueue and CreateTask.

    It refuses as they do, and with INVALID_ARGUMENT where the queue has no HTTP target that names a host.
    """
    request, response = _message("BufferTaskRequest"), _message("BufferTaskResponse")

    def buffer_task(asked: Any) -> Any:
        queue = get_queue(GetQueueRequest(name=asked.queue))
        created = create_task(build_buffered(queue, asked.task_id, asked.body.data, asked.body.content_type))
        return response(task=created)

    return {"BufferTask": Method(request, response, buffer_task)}


def _define() -> None:
    body, task = httpbody_pb2.HttpBody.DESCRIPTOR, Task.DESCRIPTOR
    file = FileDescriptorProto(
        name="fantasm_gcp/local/tasks/buffer_task.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[body.file.name, task.file.name],
    )
    request = file.message_type.add(name="BufferTaskRequest")
    text = FieldDescriptorProto.TYPE_STRING
    message = FieldDescriptorProto.TYPE_MESSAGE
    one = FieldDescriptorProto.LABEL_OPTIONAL
    request.field.add(name="queue", number=1, type=text, label=one)
    request.field.add(name="task_id", number=2, type=text, label=one)
    request.field.add(name="body", number=3, type=message, label=one, type_name=f".{body.full_name}")
    response = file.message_type.add(name="BufferTaskResponse")
    response.field.add(name="task", number=1, type=message, label=one, type_name=f".{task.full_name}")
    descriptor_pool.Default().Add(file)


def _message(name: str) -> Any:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(f"{_PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor)


_define()
