"""Google's errors become ours here, in one table, and requests that may be repeated are."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from google.api_core import exceptions as vendor

from fantasm_gcp.errors import AlreadyExistsError, ConflictError, RefusedError, StoreError, UnavailableError

T = TypeVar("T")
Sleep = Callable[[float], None]

# The first entry that fits is taken. NotFound is an update of a row that is gone.
_TABLE: tuple[tuple[type[vendor.GoogleAPICallError], type[StoreError]], ...] = (
    (vendor.AlreadyExists, AlreadyExistsError),
    (vendor.FailedPrecondition, ConflictError),
    (vendor.NotFound, ConflictError),
    (vendor.InvalidArgument, RefusedError),
    (vendor.PermissionDenied, RefusedError),
    (vendor.Unauthenticated, RefusedError),
    (vendor.MethodNotImplemented, RefusedError),
)


OLD_CONCURRENCY = (
    "this database keeps transactions apart by entity groups, as those of old App Engine applications do, "
    "and takes no more than 25 of them in one: `fantasm doctor` tells the command that changes it"
)


def ours(error: vendor.GoogleAPIError) -> StoreError:
    """The error of ours for one of Google's; whatever leaves the outcome open is ``UnavailableError``."""
    if "too many entity groups" in str(error).lower():
        return RefusedError(f"{OLD_CONCURRENCY} ({error})")
    if is_contention(error):
        return ConflictError(str(error))
    for theirs, kind in _TABLE:
        if isinstance(error, theirs):
            return kind(str(error))
    return UnavailableError(str(error))


def is_contention(error: vendor.GoogleAPIError) -> bool:
    """Whether a transaction lost to others, or took too long, which is reported as an invalid argument."""
    if isinstance(error, vendor.Aborted):
        return True
    message = str(error).lower()
    return (
        isinstance(error, vendor.InvalidArgument)
        and "transaction" in message
        and any(word in message for word in ("closed", "contention", "invalid transaction"))
    )


def attempt(request: Callable[[], T]) -> T:
    """One request, its errors made ours."""
    try:
        return request()
    except vendor.GoogleAPIError as error:
        raise ours(error) from error


def repeat(request: Callable[[], T], sleep: Sleep = time.sleep, tries: int = 4) -> T:
    """A request that may be sent again when its outcome is not known: a read, or a create by name."""
    for retry in range(tries - 1):
        try:
            return attempt(request)
        except UnavailableError:
            sleep(random.random() * 0.1 * 2**retry)  # noqa: S311  jitter keeps no secret
    return attempt(request)
