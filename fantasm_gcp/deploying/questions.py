"""What gcloud is asked about an installation: commands that only read, and print JSON."""

from __future__ import annotations

from collections.abc import Mapping

from fantasm_gcp.deploying.commands import gcloud
from fantasm_gcp.deploying.installation import Installation

SWEPT_WITHIN = "10m"


def first_questions(installation: Installation) -> Mapping[str, tuple[str, ...]]:
    """The project, and what the other questions depend on."""
    project = ("gcloud", "projects", "describe", installation.project, "--format=json", "--quiet")
    if not installation.on_cloud_run:
        return {"project": project, "app": _ask(installation, "app", "describe")}
    listing = ("run", "services", "list", f"--region={installation.region}")
    only = f"--filter=metadata.name={installation.service}"
    return {"project": project, "run": _ask(installation, *listing, only)}


def questions(installation: Installation) -> Mapping[str, tuple[str, ...]]:
    """Everything else, by the names under which the checks look for the answers."""
    database, location = f"--database={installation.database}", f"--location={installation.region}"
    common = {
        "policy": ("gcloud", "projects", "get-iam-policy", installation.project, "--format=json", "--quiet"),
        "services": _ask(installation, "services", "list", "--enabled"),
        "queues": _ask(installation, "tasks", "queues", "list", location),
        "databases": _ask(installation, "firestore", "databases", "list"),
        "ttls": _ask(installation, "firestore", "fields", "ttls", "list", database),
    }
    return common | (
        _of_cloud_run(installation) if installation.on_cloud_run else _of_app_engine(installation)
    )


def _of_app_engine(installation: Installation) -> dict[str, tuple[str, ...]]:
    swept = (
        'resource.type="gae_app"',
        f'logName="projects/{installation.project}/logs/appengine.googleapis.com%2Frequest_log"',
        f'protoPayload.resource="{installation.root}/sweep"',
    )
    limits = (f"--freshness={SWEPT_WITHIN}", "--limit=1")
    return {
        "versions": _ask(installation, "app", "versions", "list", f"--service={installation.service}"),
        "swept": _ask(installation, "logging", "read", " AND ".join(swept), *limits),
    }


def _of_cloud_run(installation: Installation) -> dict[str, tuple[str, ...]]:
    where = (installation.service, f"--region={installation.region}")
    policy = ("iam", "service-accounts", "get-iam-policy", installation.task_account)
    return {
        "run policy": _ask(installation, "run", "services", "get-iam-policy", *where),
        "jobs": _ask(installation, "scheduler", "jobs", "list", f"--location={installation.region}"),
        "task policy": _ask(installation, *policy),
    }


def _ask(installation: Installation, *words: str) -> tuple[str, ...]:
    return gcloud(installation.project, *words, "--format=json")
