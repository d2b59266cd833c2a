"""Whether somebody calls the sweeper and the scrubber."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fantasm_gcp.deploying.cloud_run import create_job, job_ids, set_job
from fantasm_gcp.deploying.commands import render_command
from fantasm_gcp.deploying.findings import Answers, Finding, error, fields_of, last_part, ok, unseen, warning
from fantasm_gcp.deploying.installation import Installation, Job
from fantasm_gcp.deploying.plan import deploy_application

_FINE: Final = range(200, 300)


def check_cron(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """Whether App Engine's cron calls the sweeper: nothing lists its jobs, but the log has their requests."""
    answer, path = answers["swept"], f"{installation.root}/sweep"
    if answer.refusal:
        yield unseen("cron", answer)
        return
    entry: Mapping[str, Any] = next(iter(answer.items()), {})
    request = fields_of(entry.get("protoPayload"))
    status = request.get("status")
    if not entry:
        words = f"no request to {path} is in the log of the last ten minutes: is cron.yaml deployed?"
        yield warning("cron", words, deploy_application(installation))
    elif status in _FINE:
        yield ok("cron", f"{path} was called at {entry.get('timestamp')} and answered {status}")
    else:
        yield error("cron", f"{path} was called at {entry.get('timestamp')} and answered {status}")
    if not any(urlsplit(job.path).path == path for job in installation.jobs):
        yield warning("cron", f"cron.yaml has no entry for {path}")


def check_jobs(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """Each job of Cloud Scheduler there, enabled, and calling what it should as who it should."""
    answer = answers["jobs"]
    if answer.refusal:
        yield unseen("scheduler", answer)
        return
    there = {last_part(each.get("name")): each for each in answer.items()}
    for job, name in job_ids(installation).items():
        check, command = f"job {name}", create_job(installation, job)
        found = there.get(name)
        if found is None:
            yield error(check, f"there is none, so nothing calls {job.path}", command)
            continue
        wrong = list(_differences(installation, job, found))
        if wrong:
            yield error(check, "; ".join(wrong), render_command(command.instead))
        elif found.get("state") != "ENABLED":
            words = f"is {found.get('state')}: it does not run"
            yield warning(check, words, set_job(installation, name, "resume", ""))
        else:
            yield _last_run(installation, name, found)
    if not any(urlsplit(job.path).path == f"{installation.root}/sweep" for job in installation.jobs):
        yield warning("scheduler", f"cron.yaml has no entry for {installation.root}/sweep")


def _differences(installation: Installation, job: Job, found: Mapping[str, Any]) -> Iterator[str]:
    target = fields_of(found.get("httpTarget"))
    token = fields_of(target.get("oidcToken"))
    for what, wanted, has in (
        ("calls", f"{installation.url}{job.path}", target.get("uri")),
        ("does so as", installation.scheduler_account, token.get("serviceAccountEmail")),
        ("has tokens made for", installation.audience, token.get("audience")),
        ("runs", job.schedule, found.get("schedule")),
    ):
        if wanted != has:
            yield f"{what} {has or 'nobody'}, not {wanted}"


def _last_run(installation: Installation, name: str, found: Mapping[str, Any]) -> Finding:
    code = fields_of(found.get("status")).get("code", 0)
    ran = found.get("lastAttemptTime")
    if not ran:
        mend = set_job(installation, name, "run", "")
        return warning(f"job {name}", "is enabled, but has not run yet", mend)
    if code:
        return error(f"job {name}", f"ran at {ran} and failed (code {code} of google.rpc.Code)")
    return ok(f"job {name}", f"{found.get('schedule')}; ran at {ran}")
