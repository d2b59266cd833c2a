"""What firebase-admin asks of a Cloud Tasks emulator, to which ``CLOUD_TASKS_EMULATOR_HOST`` leads it.

Its functions' task queues then call paths without a version, name no URL where in production they name the
function's, and expect the task in the answer under "task", in Node.js and in Python. The queue has the name
of the function; the task goes to the service of that name, as those of App Engine do.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.empty_pb2 import Empty

from fantasm_gcp.local.http.routes import Route
from fantasm_gcp.local.rpc import Method, Service
from fantasm_gcp.local.tasks import messages, refusals
from fantasm_gcp.local.tasks.configuration.service_map import ServiceMap

_QUEUE = "projects/*/locations/*/queues/*"

FIREBASE_ROUTES: Final = (
    Route("POST", f"/{{parent={_QUEUE}}}/tasks", "CreateTask", "*"),
    Route("DELETE", f"/{{name={_QUEUE}/tasks/*}}", "DeleteTask"),
)


def firebase_service(service: Service, functions: ServiceMap | None) -> Service:
    """The two methods over ``service``, that of v2; ``functions`` knows where each function is."""
    create, delete = service.methods["CreateTask"], service.methods["DeleteTask"]

    def create_task(asked: Any) -> Any:
        request = messages.CreateTaskRequest()
        request.CopyFrom(asked)
        if request.task.HasField("http_request") and not request.task.http_request.url:
            request.task.http_request.url = _url_of(functions, request.parent.rpartition("/")[2])
        task = create.call(request)
        answer = messages.CreateTaskRequest()  # a message with a field "task"
        answer.task.CopyFrom(task)
        answer.task.name = f"/{task.name}"  # the Python client cuts the first character off
        return answer

    return Service(
        "firebase",
        {
            "CreateTask": Method(messages.CreateTaskRequest, messages.CreateTaskRequest, create_task),
            "DeleteTask": Method(delete.request, Empty, delete.call),
        },
    )


def _url_of(functions: ServiceMap | None, name: str) -> str:
    if functions is None:
        raise refusals.invalid(refusals.URL_REQUIRED)
    try:
        return f"{functions.find(name)}/"
    except ConnectionError as error:
        raise refusals.precondition(f"The task names no URL, and {error}.") from error
