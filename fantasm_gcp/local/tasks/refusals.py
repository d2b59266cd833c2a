"""What the server says when it refuses a request.

Texts without a note are those of the real service, word for word. A refusal of which no recording is known
has words of our own and stands under "own words": its code follows the API reference.
"""

from __future__ import annotations

from typing import Final

import grpc
from google.rpc.error_details_pb2 import Help

from fantasm_gcp.local.rpc import RpcError

QUEUE_NOT_FOUND = (
    "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
)
QUEUE_EXISTS = "Queue already exists"
QUEUE_TOO_RECENT = "The queue cannot be created because a queue with this name existed too recently."
QUEUE_FORMAT = (
    'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".'
)
TASK_FORMAT = (
    "Task name must be formatted: "
    '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>"'
)
TASK_EXISTS = "Requested entity already exists"
TASK_TOO_RECENT = "The task cannot be created because a task with this name existed too recently."
TASK_GONE = (
    "The task no longer exists, though a task with this name existed recently. "
    "The task either successfully completed or was deleted."
)
TASK_TOO_LARGE = "Task size too large"
ENTITY_NOT_FOUND = "Requested entity was not found."
PARENT_FORMAT = "Invalid resource field value in the request."
URL_REQUIRED = "HttpRequest.url is required."
URL_SCHEME = "HttpTarget.url must start with 'http://' or 'https://'."

_REFERENCE = "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues"
QUEUE_HELP: Final = ("Definition of queue name", f"{_REFERENCE}#Queue.FIELDS.name")
TASK_HELP: Final = ("Definition of task ID", f"{_REFERENCE}.tasks#Task.FIELDS.name")

# Own words.
NO_TASK = "CreateTaskRequest.task is required."
NO_TARGET = "Task must have app_engine_http_request or http_request."
NO_QUEUE = "The request has no queue."
PAGE_SIZE = "page_size cannot be negative."
PAGE_TOKEN = "page_token is not one that this server gave for this request within the last 2 hours."  # noqa: S105  # no secret


def invalid(message: str, help_with: tuple[str, str] | None = None) -> RpcError:
    """The request itself is wrong; ``help_with`` is what the real service links to, and where that is."""
    if help_with is None:
        return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)
    description, url = help_with
    link = Help.Link(description=description, url=url)
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message, [Help(links=[link])])


def not_found(message: str) -> RpcError:
    """What the request names is not there."""
    return RpcError(grpc.StatusCode.NOT_FOUND, message)


def exists(message: str) -> RpcError:
    """What the request would create is there, or was there a short while ago."""
    return RpcError(grpc.StatusCode.ALREADY_EXISTS, message)


def precondition(message: str) -> RpcError:
    """The request may be carried out later, but not now."""
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unimplemented(message: str) -> RpcError:
    """The real service can do this and the local server cannot."""
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, message)


def file_failed(error: Exception) -> RpcError:
    """The file that keeps everything cannot be read or written, in the words of SQLite."""
    return RpcError(grpc.StatusCode.INTERNAL, f"the local Cloud Tasks server's file failed: {error}")
