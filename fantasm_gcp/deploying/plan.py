"""The commands that make an installation, in the order in which they have to run."""

from __future__ import annotations

from collections.abc import Iterator

from fantasm_gcp.deploying.cloud_run import (
    close,
    create_account,
    create_job,
    deploy_service,
    open_service,
)
from fantasm_gcp.deploying.commands import Command, gcloud
from fantasm_gcp.deploying.installation import Installation
from fantasm_gcp.deploying.parts import (
    EXPIRING,
    create_database,
    create_indexes,
    create_queues,
    enable,
    enable_ttl,
    services,
)
from fantasm_gcp.deploying.roles import (
    BUILDER,
    RUNTIME_NEEDS,
    accounts,
    grant,
    grant_acting,
    grant_invoking,
    grant_secret,
    invokers,
)


def plan(installation: Installation) -> tuple[Command, ...]:
    """Every command of an installation. Running them all again is harmless, after a failure too."""
    return tuple(_cloud_run(installation) if installation.on_cloud_run else _app_engine(installation))


def create_application(installation: Installation) -> Command:
    """Makes the project's App Engine application."""
    return Command(
        gcloud(installation.project, "app", "create", f"--region={installation.app_engine_region}"),
        "The App Engine application. Its region cannot be changed afterwards",
        check=gcloud(installation.project, "app", "describe", "--format=value(id)"),
    )


def deploy_application(installation: Installation) -> Command:
    """Deploys the service that app.yaml describes and, where there is one, cron.yaml."""
    files = ["app.yaml", *(each for each in ("cron.yaml",) if each in installation.files)]
    return Command(
        gcloud(installation.project, "app", "deploy", *files),
        "The application" + (", and what calls its sweeper and its scrubber" if len(files) > 1 else ""),
    )


def _app_engine(installation: Installation) -> Iterator[Command]:
    yield enable(installation, *services(installation))
    yield create_application(installation)
    yield from _storage(installation)
    yield from _runtime_roles(installation)
    yield deploy_application(installation)


def _cloud_run(installation: Installation) -> Iterator[Command]:
    yield enable(installation, *services(installation))
    # Before what takes its time: a grant to an account that was made a moment ago may fail.
    for account, purpose in accounts(installation):
        if installation.is_own(account):
            yield create_account(installation, account, purpose)
    yield from _storage(installation)
    yield from _runtime_roles(installation)
    yield grant(
        installation, installation.build_account, BUILDER, "Cloud Build makes the container as this account"
    )
    yield grant_acting(installation)
    for secret in sorted(set(installation.secrets.values())):
        yield grant_secret(installation, secret)
    if not installation.public:
        yield close(installation)
    yield deploy_service(installation)
    if installation.public:
        yield from open_service(installation)
    else:
        for account, why in invokers(installation):
            yield grant_invoking(installation, account, why)
    for job in installation.jobs:
        yield create_job(installation, job)


def _storage(installation: Installation) -> Iterator[Command]:
    yield create_database(installation)
    if "index.yaml" in installation.files:
        yield create_indexes(installation)
    for kind in EXPIRING:
        yield enable_ttl(installation, kind)
    yield from create_queues(installation)


def _runtime_roles(installation: Installation) -> Iterator[Command]:
    for need in RUNTIME_NEEDS:
        yield grant(installation, installation.account, need.role, f"The application {need.why}")
