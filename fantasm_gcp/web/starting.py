"""Starting machines from Python, with the application of the current request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fantasm_gcp.engine.start import Started
from fantasm_gcp.errors import StartError
from fantasm_gcp.web.current import current_fantasm


def start_machine(machine: str, *arguments: Any, **options: Any) -> tuple[Started, ...]:
    """Starts a machine; see :meth:`fantasm_gcp.Fantasm.start_machine`. Needs an application context."""
    return current_fantasm().start_machine(machine, *arguments, **options)


def startStateMachine(  # noqa: N802  these are Fantasm's names
    machineName: str,  # noqa: N803
    contexts: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    taskName: str | None = None,  # noqa: N803
    method: str = "POST",
    countdown: float | Sequence[float] = 0,
    transactional: bool = False,
    raiseIfTaskExists: bool = False,  # noqa: N803
    queueName: str | None = None,  # noqa: N803
    headers: Mapping[str, str | Sequence[str]] | None = None,
) -> tuple[Started, ...]:
    """Fantasm's name for :func:`start_machine`, and its arguments.

    With ``transactional`` the instances start with the transaction that is under way on
    ``current_fantasm().datastore``. Raises :class:`StartError` where there is none.
    """
    transaction = None
    if transactional:
        transaction = current_fantasm().datastore.current_transaction
        if transaction is None:
            raise StartError(
                "transactional=True, but no transaction is under way: "
                "begin one with current_fantasm().datastore.transaction()"
            )
    return start_machine(
        machineName,
        contexts,
        task_name=taskName,
        method=method,
        countdown=countdown,
        queue=queueName,
        headers=headers,
        raise_if_exists=raiseIfTaskExists,
        transaction=transaction,
    )
