"""Installations to plan and to check, and what gcloud answers of one that is well, in the forms of its APIs."""

from __future__ import annotations

import copy

from fantasm_gcp.deploying import Answer, Installation, Job, Queue
from fantasm_gcp.deploying.cloud_run import create_job, job_ids
from fantasm_gcp.deploying.parts import EXPIRING, services
from fantasm_gcp.deploying.roles import RUNTIME_NEEDS
from fantasm_gcp.settings import APP_ENGINE, CLOUD_RUN, Settings

PROJECT, REGION, NUMBER = "acme-prod", "us-central1", "123456789012"
RUN_URL = f"https://shop-{NUMBER}.{REGION}.run.app"
JOBS = (
    Job("/fantasm/sweep", "every 1 minutes", description="Sweeps"),
    Job("/fantasm/fsm/FantasmScrubber/?age=90", "every day 03:00", limits=("--max-retry-attempts=5",)),
)
RAN = "2026-11-22T14:03:00Z"


def app_engine(**changes):
    """On App Engine, with what follows from nothing being said."""
    known = {"queues": (Queue("default"),), "jobs": JOBS, "files": frozenset({"cron.yaml"})}
    names = {"project": PROJECT, "region": REGION, "service": "default", "runtime": APP_ENGINE}
    return Installation(**(names | known | changes))


def cloud_run(*, number=NUMBER, settings=None, **changes):
    """On Cloud Run, which requires authentication; the settings are those of the service."""
    known = {"queues": (Queue("default"),), "jobs": JOBS, "number": number}
    names = {"project": PROJECT, "region": REGION, "service": "shop", "runtime": CLOUD_RUN}
    if settings is None:
        settings = Settings(verified_by="cloud-run", project=PROJECT, location=REGION, target=RUN_URL)
    return Installation(**(names | known | {"settings": settings} | changes))


def answers_of(installation):
    """What gcloud says of an installation that is well; each is an own copy, to be spoilt."""
    said = _of_cloud_run(installation) if installation.on_cloud_run else _of_app_engine()
    member = f"serviceAccount:{installation.account}"
    said |= {
        "project": {"projectId": PROJECT, "projectNumber": NUMBER, "lifecycleState": "ACTIVE"},
        "policy": {"bindings": [{"role": need.role, "members": [member]} for need in RUNTIME_NEEDS]},
        "services": [{"config": {"name": name}, "state": "ENABLED"} for name in services(installation)],
        "queues": [queue_answer(each.name) for each in installation.queues],
        "databases": [database_answer(installation.database)],
        "ttls": [ttl_answer(kind) for kind in EXPIRING],
    }
    return {name: Answer(copy.deepcopy(value)) for name, value in said.items()}


def queue_answer(name):
    """A queue as `gcloud tasks queues list` shows it."""
    return {
        "name": f"projects/{PROJECT}/locations/{REGION}/queues/{name}",
        "state": "RUNNING",
        "rateLimits": {"maxBurstSize": 100, "maxConcurrentDispatches": 1000, "maxDispatchesPerSecond": 500.0},
        "retryConfig": {"maxAttempts": -1, "maxBackoff": "3600s", "maxDoublings": 16, "minBackoff": "0.100s"},
    }


def database_answer(name):
    """A database as `gcloud firestore databases list` shows it."""
    return {
        "name": f"projects/{PROJECT}/databases/{name}",
        "type": "DATASTORE_MODE",
        "concurrencyMode": "PESSIMISTIC",
        "locationId": REGION,
    }


def ttl_answer(kind, state="ACTIVE"):
    """A policy as `gcloud firestore fields ttls list` shows it."""
    name = f"projects/{PROJECT}/databases/(default)/collectionGroups/{kind}/fields/expires"
    return {"name": name, "ttlConfig": {"state": state}}


def service_answer(installation, **variables):
    """A service as `gcloud run services list` shows it, with its variables."""
    known = {
        "FANTASM_VERIFIED_BY": "cloud-run",
        "FANTASM_SERVICE_ACCOUNT": installation.task_account,
        "FANTASM_SCHEDULER_ACCOUNT": installation.scheduler_account,
    }
    env = [{"name": name, "value": text} for name, text in (known | variables).items() if text is not None]
    env.append(
        {"name": "FANTASM_START_SECRET", "valueFrom": {"secretKeyRef": {"key": "latest", "name": "s"}}}
    )
    spec = {
        "containerConcurrency": 16,
        "containers": [{"image": "shop", "env": env}],
        "serviceAccountName": installation.account,
        "timeoutSeconds": 1800,
    }
    return {
        "metadata": {"name": "shop", "annotations": {"run.googleapis.com/ingress": "all"}},
        "spec": {"template": {"spec": spec}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "latestReadyRevisionName": "shop-00007-abc",
            "url": RUN_URL,
        },
    }


def _of_app_engine():
    entry = {"timestamp": RAN, "protoPayload": {"resource": "/fantasm/sweep", "status": 200}}
    return {
        "app": {
            "id": PROJECT,
            "locationId": "us-central",
            "defaultHostname": f"{PROJECT}.uc.r.appspot.com",
            "servingStatus": "SERVING",
        },
        "versions": [{"id": "20261122t140000", "service": "default", "traffic_split": 1.0}],
        "swept": [entry],
    }


def _of_cloud_run(installation):
    callers = (installation.task_account, installation.scheduler_account)
    come = [f"serviceAccount:{each}" for each in callers]
    act = [f"serviceAccount:{installation.account}"]
    return {
        "run": [service_answer(installation)],
        "run policy": {"bindings": [{"role": "roles/run.invoker", "members": come}]},
        "task policy": {"bindings": [{"role": "roles/iam.serviceAccountUser", "members": act}]},
        "jobs": [_job_answer(installation, job, name) for job, name in job_ids(installation).items()],
    }


def _job_answer(installation, job, name):
    flags = dict(
        each[2:].split("=", 1)
        for each in create_job(installation, job).argv
        if each[:2] == "--" and "=" in each
    )
    return {
        "name": f"projects/{PROJECT}/locations/{REGION}/jobs/{name}",
        "state": "ENABLED",
        "schedule": job.schedule,
        "lastAttemptTime": RAN,
        "status": {},
        "httpTarget": {
            "uri": flags["uri"],
            "oidcToken": {
                "serviceAccountEmail": flags["oidc-service-account-email"],
                "audience": flags["oidc-token-audience"],
            },
        },
    }
