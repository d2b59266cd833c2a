"""The raw protobuf classes of the API: those of the client wrap them, and are several times slower."""

from __future__ import annotations

from typing import Any

from google.cloud.tasks_v2 import types

Task: Any = types.Task.pb()
Queue: Any = types.Queue.pb()
Attempt: Any = types.Attempt.pb()
AppEngineRouting: Any = types.AppEngineRouting.pb()

CreateQueueRequest: Any = types.CreateQueueRequest.pb()
GetQueueRequest: Any = types.GetQueueRequest.pb()
ListQueuesRequest: Any = types.ListQueuesRequest.pb()
ListQueuesResponse: Any = types.ListQueuesResponse.pb()
UpdateQueueRequest: Any = types.UpdateQueueRequest.pb()
DeleteQueueRequest: Any = types.DeleteQueueRequest.pb()
PurgeQueueRequest: Any = types.PurgeQueueRequest.pb()
PauseQueueRequest: Any = types.PauseQueueRequest.pb()
ResumeQueueRequest: Any = types.ResumeQueueRequest.pb()

CreateTaskRequest: Any = types.CreateTaskRequest.pb()
GetTaskRequest: Any = types.GetTaskRequest.pb()
ListTasksRequest: Any = types.ListTasksRequest.pb()
ListTasksResponse: Any = types.ListTasksResponse.pb()
DeleteTaskRequest: Any = types.DeleteTaskRequest.pb()
RunTaskRequest: Any = types.RunTaskRequest.pb()

BatchCreateTasksRequest: Any = types.BatchCreateTasksRequest.pb()
BatchCreateTasksResponse: Any = types.BatchCreateTasksResponse.pb()
BatchCreateTasksMetadata: Any = types.BatchCreateTasksMetadata.pb()
BatchDeleteTasksRequest: Any = types.BatchDeleteTasksRequest.pb()
BatchDeleteTasksMetadata: Any = types.BatchDeleteTasksMetadata.pb()

CmekConfig: Any = types.CmekConfig.pb()
GetCmekConfigRequest: Any = types.GetCmekConfigRequest.pb()
UpdateCmekConfigRequest: Any = types.UpdateCmekConfigRequest.pb()

RUNNING = int(types.Queue.State.RUNNING)
PAUSED = int(types.Queue.State.PAUSED)
BASIC = int(types.Task.View.BASIC)
FULL = int(types.Task.View.FULL)
