"""The paths of Cloud Tasks' HTTP API, v2 and v2beta3, and of the locations that every Google API has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from fantasm_gcp.local.http.routes import Route

_LOCATION = "projects/*/locations/*"
_QUEUE = f"{_LOCATION}/queues/*"
_TASK = f"{_QUEUE}/tasks/*"

ROUTES: Final = (
    Route("GET", f"/v2/{{parent={_LOCATION}}}/queues", "ListQueues"),
    Route("GET", f"/v2/{{name={_QUEUE}}}", "GetQueue"),
    Route("POST", f"/v2/{{parent={_LOCATION}}}/queues", "CreateQueue", "queue"),
    Route("PATCH", f"/v2/{{queue.name={_QUEUE}}}", "UpdateQueue", "queue"),
    Route("DELETE", f"/v2/{{name={_QUEUE}}}", "DeleteQueue"),
    Route("POST", f"/v2/{{name={_QUEUE}}}:purge", "PurgeQueue", "*"),
    Route("POST", f"/v2/{{name={_QUEUE}}}:pause", "PauseQueue", "*"),
    Route("POST", f"/v2/{{name={_QUEUE}}}:resume", "ResumeQueue", "*"),
    Route("POST", f"/v2/{{resource={_QUEUE}}}:getIamPolicy", "GetIamPolicy", "*"),
    Route("POST", f"/v2/{{resource={_QUEUE}}}:setIamPolicy", "SetIamPolicy", "*"),
    Route("POST", f"/v2/{{resource={_QUEUE}}}:testIamPermissions", "TestIamPermissions", "*"),
    Route("GET", f"/v2/{{parent={_QUEUE}}}/tasks", "ListTasks"),
    Route("GET", f"/v2/{{name={_TASK}}}", "GetTask"),
    Route("POST", f"/v2/{{parent={_QUEUE}}}/tasks", "CreateTask", "*"),
    Route("POST", f"/v2/{{parent={_QUEUE}}}/tasks:batchCreate", "BatchCreateTasks", "*"),
    Route("POST", f"/v2/{{parent={_QUEUE}}}/tasks:batchDelete", "BatchDeleteTasks", "*"),
    Route("DELETE", f"/v2/{{name={_TASK}}}", "DeleteTask"),
    Route("POST", f"/v2/{{name={_TASK}}}:run", "RunTask", "*"),
    Route("GET", f"/v2/{{name={_LOCATION}/cmekConfig}}", "GetCmekConfig"),
    Route("PATCH", f"/v2/{{cmek_config.name={_LOCATION}/cmekConfig}}", "UpdateCmekConfig", "cmek_config"),
)
"""As ``google/cloud/tasks/v2/cloudtasks.proto`` annotates them."""

LOCATION_ROUTES: Final = (
    Route("GET", f"/v2/{{name={_LOCATION}}}", "GetLocation"),
    Route("GET", "/v2/{name=projects/*}/locations", "ListLocations"),
)
"""Those of ``google.cloud.location.Locations``."""

OPERATION_ROUTES: Final = (Route("GET", f"/v2/{{name={_LOCATION}/operations/*}}", "GetOperation"),)
"""Those of ``google.longrunning.Operations`` that are served."""

BUFFER_ROUTES: Final = (
    Route("POST", f"/v2/{{queue={_QUEUE}}}/tasks:buffer", "BufferTask", "body"),
    Route("POST", f"/v2/{{queue={_QUEUE}}}/tasks/{{task_id}}:buffer", "BufferTask", "body"),
)
"""Those of a method that the proto does not have and the reference of the HTTP API does."""


def in_beta3(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The same routes in v2beta3, whose proto annotates the same paths under that version."""
    return tuple(replace(route, template=route.template.replace("/v2/", "/v2beta3/", 1)) for route in routes)
