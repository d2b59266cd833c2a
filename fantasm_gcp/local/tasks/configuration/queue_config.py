"""What a queue may be told, and what it gets when it is told nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.configuration.http_target import check_http_target
from fantasm_gcp.local.tasks.configuration.retry import (
    RetryLaw,
    check_retry_config,
    fill_retry_config,
    parse_retry_config,
)
from fantasm_gcp.local.tasks.messages import RUNNING, Queue

_MOST_DISPATCHES_PER_SECOND = 500
_MOST_CONCURRENT_DISPATCHES = 5000
_DISPATCHES_PER_BURST = 5
_LEAST_BURST = 10
_INT32 = 2**31 - 1
_SETTABLE = (
    "app_engine_routing_override",
    "http_target",
    "rate_limits",
    "retry_config",
    "stackdriver_logging_config",
)


@dataclass(frozen=True, slots=True)
class QueueDefaults:
    """The limits of a queue that sets none; they may be above what a request may ask for."""

    max_dispatches_per_second: float = 500.0
    max_concurrent_dispatches: int = 1000

    def __post_init__(self) -> None:
        if not (
            0 < self.max_dispatches_per_second < math.inf and 0 < self.max_concurrent_dispatches <= _INT32
        ):
            raise ValueError("the default limits of queues must be positive and finite")


def check_queue(queue: Any) -> None:
    """Raises ``RpcError`` INVALID_ARGUMENT for a Queue whose limits are wrong."""
    limits = queue.rate_limits
    rate, concurrency = limits.max_dispatches_per_second, limits.max_concurrent_dispatches
    if rate < 0:
        raise refusals.invalid("RateLimits.maxDispatchesPerSecond cannot be negative.")
    if not rate <= _MOST_DISPATCHES_PER_SECOND:  # so written, NaN is refused too
        raise refusals.invalid("RateLimits.maxDispatchesPerSecond must be less than or equal to 500.")
    if concurrency < 0:
        raise refusals.invalid("RateLimits.maxConcurrentDispatches cannot be negative.")
    if concurrency > _MOST_CONCURRENT_DISPATCHES:
        raise refusals.invalid("RateLimits.maxConcurrentDispatches must be less than or equal to 5000.")
    check_retry_config(queue.retry_config)
    if not 0 <= queue.stackdriver_logging_config.sampling_ratio <= 1:
        raise refusals.invalid("StackdriverLoggingConfig.samplingRatio must be between 0.0 and 1.0.")


def complete_queue(asked: Any, name: str, defaults: QueueDefaults) -> Any:
    """The Queue that is stored for a request that passed :func:`check_queue`: running, with no gaps.

    Output-only fields of the request are ignored, as the real service ignores them. Raises ``RpcError``
    INVALID_ARGUMENT when an update leaves the backoffs in the wrong order or the HTTP target incomplete.
    """
    queue = Queue(name=name, state=RUNNING)
    for field in _SETTABLE:
        if asked.HasField(field):
            getattr(queue, field).CopyFrom(getattr(asked, field))
    limits = queue.rate_limits
    limits.max_dispatches_per_second = limits.max_dispatches_per_second or defaults.max_dispatches_per_second
    limits.max_concurrent_dispatches = limits.max_concurrent_dispatches or defaults.max_concurrent_dispatches
    limits.max_burst_size = _burst(limits.max_dispatches_per_second)
    check_retry_config(queue.retry_config)
    fill_retry_config(queue.retry_config, parse_retry_config(queue.retry_config, RetryLaw()))
    if queue.HasField("http_target"):
        check_http_target(queue.http_target)
    if queue.HasField("app_engine_routing_override"):
        fill_host(queue.app_engine_routing_override, name)
    return queue


def _burst(rate: float) -> int:
    """The burst that goes with a rate: real queues show 10 at 0.25, 1 and 5 per second, and 100 at 500."""
    return min(max(_LEAST_BURST, round(rate / _DISPATCHES_PER_BURST)), _INT32)


def merge_queue(stored: Any, asked: Any, mask: FieldMask) -> Any:
    """A stored Queue with the fields that ``mask`` names taken from ``asked``; an empty mask names them all.

    Raises ``RpcError`` INVALID_ARGUMENT when the mask names a field that is not there.
    """
    paths = [path for path in mask.paths if path.partition(".")[0] in _SETTABLE]
    if not mask.IsValidForDescriptor(Queue.DESCRIPTOR):
        raise refusals.invalid(
            f"update_mask has a path that is not a field of Queue: {', '.join(mask.paths)}"
        )
    if not mask.paths:
        return asked
    merged = Queue()
    merged.CopyFrom(stored)
    FieldMask(paths=paths).MergeMessage(asked, merged, replace_message_field=True)
    return merged


def fill_host(routing: Any, queue: str) -> None:
    """Sets the output-only host of an AppEngineRouting of a queue or of its tasks."""
    project = queue.split("/")[1]
    parts = (routing.instance, routing.version, routing.service, f"{project}.appspot.com")
    routing.host = ".".join(part for part in parts if part)
