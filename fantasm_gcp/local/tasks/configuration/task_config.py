"""What a task may be, and what the server makes of it before it is stored."""

from __future__ import annotations

import re
from typing import Any, Final

from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.configuration.queue_config import fill_host
from fantasm_gcp.local.tasks.configuration.request_rules import (
    APP_ENGINE_USER_AGENT,
    HTTP_USER_AGENT,
    MAX_URL,
    METHODS,
    WITH_BODY,
    check_email,
    check_header_bytes,
    check_headers,
    drop_ignored,
    encode_url,
    parse_method,
)
from fantasm_gcp.local.tasks.configuration.retry import check_retry_config
from fantasm_gcp.local.tasks.messages import Task
from fantasm_gcp.local.tasks.times import SECOND, fill, parse_duration, parse_timestamp, render_pacific

MAX_TASK_BYTES: Final = 1_048_569
MAX_AHEAD: Final = 720 * 3600 * SECOND
DEFAULT_DEADLINE: Final = 600 * SECOND


def complete_task(task: Any, name: str, queue: str, now: int) -> tuple[Any, int]:
    """The Task that is stored for the one in a request, and when it is due.

    Fills in the defaults and output-only fields, except those that change with every attempt. Raises
    ``RpcError`` INVALID_ARGUMENT, in the real service's words where they are known.
    """
    stored = Task(name=name)
    target = task.WhichOneof("message_type")
    if target == "http_request":
        stored.http_request.CopyFrom(task.http_request)
        _complete_http_request(stored.http_request)
    elif target == "app_engine_http_request":
        stored.app_engine_http_request.CopyFrom(task.app_engine_http_request)
        _complete_app_engine_request(stored.app_engine_http_request, queue)
    else:
        raise refusals.invalid(refusals.NO_TARGET)
    fill(stored.dispatch_deadline, _parse_deadline(task, target))
    if task.HasField("retry_config"):
        check_retry_config(task.retry_config)
        stored.retry_config.CopyFrom(task.retry_config)
    stored.create_time.seconds = now // SECOND
    due = _parse_schedule_time(task, now)
    fill(stored.schedule_time, due)
    if stored.ByteSize() > MAX_TASK_BYTES:
        raise refusals.invalid(refusals.TASK_TOO_LARGE)
    return stored, due


def _complete_http_request(request: Any) -> None:
    if not request.url:
        raise refusals.invalid(refusals.URL_REQUIRED)
    if not request.url.startswith(("http://", "https://")):
        raise refusals.invalid(refusals.URL_SCHEME)
    if len(encode_url(request.url)) > MAX_URL:
        raise refusals.invalid(f"HttpRequest.url must be no longer than {MAX_URL} characters.")
    request.http_method = parse_method(request.http_method, "HttpRequest")
    if request.body and METHODS[request.http_method] not in WITH_BODY:
        raise refusals.invalid("HttpRequest.body is allowed only with the methods POST, PUT and PATCH.")
    check_email(request, "HttpRequest")
    drop_ignored(request.headers, app_engine=False)
    check_headers(request.headers.items(), "HttpRequest.headers")
    check_header_bytes(request.headers.items(), "HttpRequest.headers")
    request.headers["User-Agent"] = HTTP_USER_AGENT


def _complete_app_engine_request(request: Any, queue: str) -> None:
    request.relative_uri = request.relative_uri or "/"
    uri = request.relative_uri
    if not uri.startswith("/"):
        raise refusals.invalid('AppEngineHttpRequest.relativeUri must begin with "/".')
    if re.search(r"[\s\x00-\x1f\x7f]", uri) or len(uri) > MAX_URL:
        raise refusals.invalid(
            f"AppEngineHttpRequest.relativeUri must have no spaces and no more than {MAX_URL} characters."
        )
    request.http_method = parse_method(request.http_method, "AppEngineHttpRequest")
    if request.body and METHODS[request.http_method] not in ("POST", "PUT"):
        raise refusals.invalid("AppEngineHttpRequest.body is allowed only with the methods POST and PUT.")
    drop_ignored(request.headers, app_engine=True)
    check_headers(request.headers.items(), "AppEngineHttpRequest.headers")
    given = [name for name in request.headers if name.lower() == "user-agent"]
    agents = [request.headers.pop(name) for name in given]
    request.headers["User-Agent"] = " ".join((*filter(None, agents), APP_ENGINE_USER_AGENT))
    if request.body:
        request.headers["Content-Length"] = str(len(request.body))
        if not any(name.lower() == "content-type" for name in request.headers):
            request.headers["Content-Type"] = "application/octet-stream"
    fill_host(request.app_engine_routing, queue)


def _parse_deadline(task: Any, target: str) -> int:
    deadline = parse_duration(task.dispatch_deadline, "Task.dispatchDeadline") // 1000 * 1000
    if target == "http_request":
        if not task.HasField("dispatch_deadline"):
            return DEFAULT_DEADLINE
        if not 15 * SECOND <= deadline <= 1800 * SECOND:
            raise refusals.invalid("Task.dispatchDeadline must be between [15s, 30m].")
        return deadline
    if deadline == 0:
        return DEFAULT_DEADLINE
    if not 15 * SECOND <= deadline <= 86_415 * SECOND:
        raise refusals.invalid("Task.dispatchDeadline must be between [15s, 24h15s].")
    return deadline


def _parse_schedule_time(task: Any, now: int) -> int:
    if not task.HasField("schedule_time"):
        return now
    due = parse_timestamp(task.schedule_time, "Task.scheduleTime")
    if due - now > MAX_AHEAD:
        moment = render_pacific(due // SECOND * SECOND)
        raise refusals.invalid(
            f"The Task.scheduleTime, {moment}, is too far in the future. "
            "Schedule time must be no more than 720h in the future."
        )
    return max(due, now)
