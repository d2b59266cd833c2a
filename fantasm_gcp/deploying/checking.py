"""Every check of an installation, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Iterator

from fantasm_gcp.deploying.checking_access import check_access, check_roles, check_service
from fantasm_gcp.deploying.checking_calls import check_cron, check_jobs
from fantasm_gcp.deploying.checking_storage import check_database, check_queues, check_ttl
from fantasm_gcp.deploying.commands import render_command
from fantasm_gcp.deploying.findings import Answers, Finding, error, fields_of, ok, unseen
from fantasm_gcp.deploying.installation import Installation
from fantasm_gcp.deploying.parts import enable, services
from fantasm_gcp.deploying.plan import create_application, deploy_application
from fantasm_gcp.settings import ENVIRONMENT


def check_project(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """The project there, and what the other questions depend on; errors make them pointless."""
    answer, check = answers["project"], f"project {installation.project}"
    if answer.refusal:
        yield error(check, answer.refusal)
        return
    state = answer.fields().get("lifecycleState", "ACTIVE")
    if state != "ACTIVE":
        words = f"is {state}"
        yield error(check, words, render_command(("gcloud", "projects", "undelete", installation.project)))
        return
    yield ok(check, f"number {answer.fields().get('projectNumber')}")
    if installation.on_cloud_run:
        yield from check_service(installation, answers)
    else:
        yield from _check_application(installation, answers)


def _check_application(installation: Installation, answers: Answers) -> Iterator[Finding]:
    answer, check = answers["app"], "application"
    if answer.refusal:
        yield error(check, answer.refusal, create_application(installation))
        return
    state, region = answer.fields().get("servingStatus", "SERVING"), answer.fields().get("locationId")
    location = installation.settings.location
    if state != "SERVING":
        yield error(check, f"is {state}: it answers nothing; enable it in its settings")
    elif region != installation.app_engine_region:
        yield error(
            check, f"is in {region}, not in {installation.app_engine_region}: queues have to be where it is"
        )
    elif installation.settings.origins.get("location") == ENVIRONMENT and location != installation.region:
        words = (
            f"is in {installation.region}, but FANTASM_LOCATION={location}: it would look there for queues"
        )
        yield error(check, words)
    else:
        yield ok(check, f"serves in {region}")


def check_installation(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """What the answers to :func:`questions` tell; ``answers`` has one for each of them."""
    yield from _check_services(installation, answers)
    if installation.on_cloud_run:
        yield from check_access(installation, answers)
    else:
        yield from _check_versions(installation, answers)
    yield from check_queues(installation, answers)
    yield from check_database(installation, answers)
    yield from check_ttl(installation, answers)
    yield from check_roles(installation, answers)
    if installation.on_cloud_run:
        yield from check_jobs(installation, answers)
    else:
        yield from check_cron(installation, answers)


def _check_services(installation: Installation, answers: Answers) -> Iterator[Finding]:
    answer = answers["services"]
    if answer.refusal:
        yield unseen("APIs", answer)
        return
    enabled = {str(fields_of(each.get("config")).get("name")) for each in answer.items()}
    missing = [each for each in services(installation) if each not in enabled]
    if missing:
        yield error("APIs", f"not enabled: {', '.join(missing)}", enable(installation, *missing))
    else:
        yield ok("APIs", f"{len(services(installation))} that are needed are enabled")


def _check_versions(installation: Installation, answers: Answers) -> Iterator[Finding]:
    answer, check = answers["versions"], f"service {installation.service}"
    serving = [str(each.get("id")) for each in answer.items() if each.get("traffic_split")]
    if answer.refusal:
        yield unseen(check, answer)
    elif serving:
        yield ok(check, f"version {', '.join(sorted(serving))} serves")
    else:
        yield error(check, "no version of it serves", deploy_application(installation))
