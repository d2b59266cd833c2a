"""Google's errors become ours: what may be tried again, what lost, what is wrong."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as vendor

from fantasm_gcp.errors import AlreadyExistsError, ConflictError, RefusedError, UnavailableError
from fantasm_gcp.gateways.vendor_errors import attempt, ours, repeat

EXPECTED = [
    (vendor.AlreadyExists, AlreadyExistsError),
    (vendor.Aborted, ConflictError),
    (vendor.FailedPrecondition, ConflictError),
    (vendor.NotFound, ConflictError),
    (vendor.InvalidArgument, RefusedError),
    (vendor.PermissionDenied, RefusedError),
    (vendor.Unauthenticated, RefusedError),
    (vendor.MethodNotImplemented, RefusedError),
    (vendor.ServiceUnavailable, UnavailableError),
    (vendor.DeadlineExceeded, UnavailableError),
    (vendor.InternalServerError, UnavailableError),
    (vendor.Unknown, UnavailableError),
    (vendor.ResourceExhausted, UnavailableError),
    (vendor.Cancelled, UnavailableError),
]


@pytest.mark.parametrize(("theirs", "expected"), EXPECTED, ids=lambda kind: kind.__name__)
def test_each_error_has_one_meaning(theirs, expected):
    """The classes overlap: both AlreadyExists and Aborted are kinds of Conflict."""
    assert expected is type(ours(theirs("words")))


@pytest.mark.parametrize(
    "words",
    ["transaction closed", "too much contention on these datastore entities, transaction"],
)  # fmt: skip
def test_a_lost_transaction_is_contention(words):
    """It is reported as an invalid argument."""
    assert ConflictError is type(ours(vendor.InvalidArgument(words)))


def test_a_database_of_old_times_is_told_of():
    """Retrying cannot help, and the vendor's words do not say what would."""
    words = "operating on too many entity groups in a single transaction."
    error = ours(vendor.InvalidArgument(words))
    assert (RefusedError, True) == (type(error), "fantasm doctor" in str(error)), error


def test_what_may_be_repeated_is_repeated_a_few_times():
    """Only while nothing is known of the outcome, with waits in between."""
    waits: list[float] = []
    answers = [vendor.ServiceUnavailable("a"), vendor.DeadlineExceeded("b"), "done"]

    def request():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert ("done", 2) == (repeat(request, waits.append), len(waits))
    answers[:] = [vendor.ServiceUnavailable("a")] * 4
    with pytest.raises(UnavailableError):
        repeat(request, waits.append)
    answers[:] = [vendor.InvalidArgument("a"), "never"]
    with pytest.raises(RefusedError):
        repeat(request, waits.append)
    assert ["never"] == answers


def test_an_error_that_is_not_googles_passes():
    """Our own mistakes are not hidden."""

    def request():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt(request)


def test_a_transaction_that_took_too_long_is_no_contention():
    """The same action would take too long again: it is a failed attempt, not one to be repeated at once."""
    words = "The referenced transaction has expired or is no longer valid."
    assert RefusedError is type(ours(vendor.InvalidArgument(words)))
