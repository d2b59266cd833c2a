"""Which account needs which role, and why; one table for those who grant and those who check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fantasm_gcp.deploying.commands import Command, gcloud
from fantasm_gcp.deploying.installation import Installation

INVOKER: Final = "roles/run.invoker"
ACT_AS: Final = "roles/iam.serviceAccountUser"
BUILDER: Final = "roles/run.builder"
SECRET_READER: Final = "roles/secretmanager.secretAccessor"  # noqa: S105  # the name of a role
EVERYBODY: Final = ("allUsers", "allAuthenticatedUsers")
BASIC: Final = ("roles/editor", "roles/owner")
"""Roles of a whole project, in which those of Cloud Tasks and Datastore are."""


@dataclass(frozen=True, slots=True)
class Need:
    """A role on the project; ``others`` have its permissions, too."""

    role: str
    why: str
    others: tuple[str, ...] = ()


RUNTIME_NEEDS: Final = (
    Need("roles/cloudtasks.enqueuer", "creates tasks", ("roles/cloudtasks.admin", *BASIC)),
    Need(
        "roles/cloudtasks.viewer",
        "looks at tasks and queues, for the sweeper",
        ("roles/cloudtasks.admin", "roles/viewer", *BASIC),
    ),
    Need(
        "roles/cloudtasks.taskDeleter",
        "deletes the tasks of what is cancelled",
        ("roles/cloudtasks.admin", *BASIC),
    ),
    # It has appengine.applications.get besides, which tasks with App Engine targets ask for.
    Need("roles/datastore.user", "reads and writes rows", ("roles/datastore.owner", *BASIC)),
)
"""What the application itself does. Source of the roles:
https://cloud.google.com/iam/docs/roles-permissions/cloudtasks and the like for Datastore."""


def member_of(account: str) -> str:
    """An account or ``*@example.com`` as a member of an IAM policy."""
    if account.startswith("*@"):
        return f"domain:{account[2:]}"
    kind = "serviceAccount" if account.endswith(".gserviceaccount.com") else "user"
    return f"{kind}:{account}"


def grant(installation: Installation, account: str, role: str, why: str) -> Command:
    """Gives an account a role on the project."""
    words = ("projects", "add-iam-policy-binding", installation.project, *_binding(account, role))
    return Command(("gcloud", *words, "--quiet"), why)


def grant_acting(installation: Installation) -> Command:
    """Lets the application have tasks bring along tokens of the tasks' account."""
    argv = gcloud(
        installation.project,
        *("iam", "service-accounts", "add-iam-policy-binding", installation.task_account),
        *_binding(installation.account, ACT_AS),
    )
    return Command(argv, f"{installation.account} creates tasks that bring this account's tokens along")


def grant_invoking(installation: Installation, account: str, why: str) -> Command:
    """Lets an account reach the service."""
    argv = gcloud(
        installation.project,
        *("run", "services", "add-iam-policy-binding", installation.service),
        f"--region={installation.region}",
        *_binding(account, INVOKER),
    )
    return Command(argv, why)


def grant_secret(installation: Installation, secret: str) -> Command:
    """Lets the application read a secret."""
    argv = gcloud(
        installation.project,
        *("secrets", "add-iam-policy-binding", secret),
        *_binding(installation.account, SECRET_READER),
    )
    return Command(argv, f"{installation.account} reads the secret {secret}")


def invokers(installation: Installation) -> tuple[tuple[str, str], ...]:
    """Who has to reach a service that requires authentication, and why."""
    settings = installation.settings
    people = sorted({*settings.operators, *settings.viewers, *settings.starters})
    return (
        (installation.task_account, "tasks come from this account"),
        (installation.scheduler_account, "Cloud Scheduler's requests come from this account"),
        *((each, f"{each} may come; what for, the application decides") for each in people),
    )


def accounts(installation: Installation) -> Iterable[tuple[str, str]]:
    """The accounts of an installation on Cloud Run, each once, and what they are for."""
    named = (
        (installation.account, "what the application runs as"),
        (installation.task_account, "whose tokens tasks bring along"),
        (installation.scheduler_account, "whose tokens Cloud Scheduler's requests bring along"),
        (installation.build_account, "what Cloud Build makes the container as"),
    )
    kept: dict[str, str] = {}
    for account, purpose in named:
        kept.setdefault(account, purpose)
    return kept.items()


def _binding(account: str, role: str) -> tuple[str, str, str]:
    # A policy that has conditions somewhere makes gcloud ask for one unless it is told that there is none.
    return f"--member={member_of(account)}", f"--role={role}", "--condition=None"
