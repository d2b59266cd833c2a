"""The commands that only Cloud Run needs: accounts, the service, who reaches it, Cloud Scheduler's jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from fantasm_gcp.deploying.commands import Command, gcloud
from fantasm_gcp.deploying.installation import Installation, Job
from fantasm_gcp.deploying.parts import NAME
from fantasm_gcp.deploying.roles import INVOKER
from fantasm_gcp.errors import SettingsError

TIMEOUT_SECONDS: Final = 1800
"""A task with a URL as target may run for half an hour, so requests may."""

VERIFIED_BY: Final = "FANTASM_VERIFIED_BY"
_DELIMITERS: Final = (",", ";", "|", "~", "%%", ":::")
_LONGEST_SLUG: Final = 400


def create_account(installation: Installation, account: str, purpose: str) -> Command:
    """Makes a service account of the project."""
    name = account.partition("@")[0]
    return Command(
        gcloud(
            installation.project,
            *("iam", "service-accounts", "create", name, f"--display-name=fantasm: {purpose}"),
        ),
        f"The account {name}: {purpose}",
        check=gcloud(
            installation.project, "iam", "service-accounts", "describe", account, "--format=value(email)"
        ),
    )


def close(installation: Installation) -> Command:
    """Takes everybody off those who reach the service, before a version is deployed that relies on it.

    gcloud itself would do so after that: in between anybody could say to have been verified.
    """
    where = (installation.service, f"--region={installation.region}")
    find = ("--flatten=bindings[].members", "--filter=bindings.members=allUsers")
    return Command(
        (),
        "The version to come believes that Cloud Run has verified every token: nobody may come without one",
        check=gcloud(
            installation.project,
            *("run", "services", "get-iam-policy", *where, *find, "--format=value(bindings.members)"),
        ),
        instead=gcloud(
            installation.project,
            *("run", "services", "remove-iam-policy-binding", *where, "--member=allUsers"),
            *(f"--role={INVOKER}", "--condition=None"),
        ),
    )


def open_service(installation: Installation) -> Iterator[Command]:
    """Lets everybody reach the service, after the version that verifies tokens itself got all requests.

    With ``--allow-unauthenticated`` gcloud opens a service before its new version is ready, and leaves it
    open where that never is: the one before may believe that Cloud Run has verified every token.
    """
    where = (installation.service, f"--region={installation.region}")
    yield Command(
        gcloud(installation.project, "run", "services", "update-traffic", *where, "--to-latest"),
        "This version gets all requests, before they are everybody's: an older one may believe what they say",
    )
    yield Command(
        gcloud(
            installation.project,
            *("run", "services", "add-iam-policy-binding", *where, "--member=allUsers"),
            *(f"--role={INVOKER}", "--condition=None"),
        ),
        "Requests of everybody come to the application",
    )


def deploy_service(installation: Installation) -> Command:
    """Builds the container and deploys it; variables that were set otherwise stay."""
    project = installation.project
    access = (
        (f"--remove-env-vars={VERIFIED_BY}",)  # and open_service opens it, when this version serves
        if installation.public
        else ("--no-allow-unauthenticated", "--invoker-iam-check")
    )
    return Command(
        gcloud(
            project,
            *("run", "deploy", installation.service, "--source=.", f"--region={installation.region}"),
            f"--service-account={installation.account}",
            f"--build-service-account=projects/{project}/serviceAccounts/{installation.build_account}",
            *access,
            f"--timeout={TIMEOUT_SECONDS}",
            f"--concurrency={installation.concurrency}",
            f"--update-env-vars={written(variables(installation))}",
            *_secrets(installation.secrets),
            *_audience(installation),
        ),
        "The service. "
        + (
            "It verifies every token itself"
            if installation.public
            else "Cloud Run lets nobody in without a token of somebody who may come"
        ),
    )


def variables(installation: Installation) -> dict[str, str]:
    """What the service is told: what was given, and what follows from how it is installed."""
    told = {
        **installation.variables,
        "FANTASM_SERVICE_ACCOUNT": installation.task_account,
        "FANTASM_SCHEDULER_ACCOUNT": installation.scheduler_account,
    }
    if installation.public:
        told.pop(VERIFIED_BY, None)
    else:
        told[VERIFIED_BY] = "cloud-run"
    return told


def written(values: Mapping[str, str]) -> str:
    """Variables as gcloud takes them, with a delimiter between them that is in none (gcloud topic escaping).

    Raises ``SettingsError`` where there is none, or a value has more than one line.
    """
    pairs = [f"{name}={value}" for name, value in sorted(values.items())]
    for each in pairs:
        if not each.isprintable():
            raise SettingsError(f"{each.partition('=')[0]} has characters that cannot be handed to gcloud")
    together = "".join(pairs)
    found = next((each for each in _DELIMITERS if each not in together), None)
    if found is None:
        raise SettingsError(
            f"the variables have all of {' '.join(_DELIMITERS)} in them: set one with gcloud itself"
        )
    text = found.join(pairs)
    return text if found == "," and not text.startswith("^") else f"^{found}^{text}"


def job_ids(installation: Installation) -> dict[Job, str]:
    """The names of the jobs: the service's, and what their paths have below the root; no two are alike."""
    names: dict[Job, str] = {}
    for job in installation.jobs:
        path = job.path.partition("?")[0].removeprefix(installation.root)
        slug = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")[:_LONGEST_SLUG] or "root"
        alike = sum(each.startswith(f"{installation.service}-{slug}") for each in names.values())
        names[job] = f"{installation.service}-{slug}" + (f"-{alike + 1}" if alike else "")
    return names


def create_job(installation: Installation, job: Job) -> Command:
    """Makes a job of Cloud Scheduler, or changes the one that is there."""
    name, where = job_ids(installation)[job], f"--location={installation.region}"
    flags = (
        f"--schedule={job.schedule}",
        f"--time-zone={job.time_zone or 'Etc/UTC'}",
        f"--uri={installation.url}{job.path}",
        "--http-method=post",
        f"--oidc-service-account-email={installation.scheduler_account}",
        f"--oidc-token-audience={installation.audience}",
        f"--description={job.description or job.path}",
        *job.limits,
    )

    def tell(verb: str, *more: str) -> tuple[str, ...]:
        return gcloud(installation.project, "scheduler", "jobs", *verb.split(), name, where, *more)

    return Command(
        tell("create http", *flags),
        f"{job.schedule}: {job.description or job.path}",
        check=tell("describe", NAME),
        instead=tell("update http", *flags),
    )


def set_job(installation: Installation, name: str, verb: str, why: str) -> Command:
    """Resumes or runs a job of Cloud Scheduler."""
    where = f"--location={installation.region}"
    return Command(gcloud(installation.project, "scheduler", "jobs", verb, name, where), why)


def _secrets(secrets: Mapping[str, str]) -> tuple[str, ...]:
    if not secrets:
        return ()
    pairs = ",".join(f"{name}={secret}:latest" for name, secret in sorted(secrets.items()))
    return (f"--update-secrets={pairs}",)


def _audience(installation: Installation) -> tuple[str, ...]:
    """Cloud Run takes tokens for its own URL; of another one it has to be told."""
    own = {"", installation.run_url}
    return () if installation.audience in own else (f"--add-custom-audiences={installation.audience}",)
