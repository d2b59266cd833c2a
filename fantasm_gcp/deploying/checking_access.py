"""Whether the accounts may do what they have to, and nobody else may come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fantasm_gcp.deploying.cloud_run import VERIFIED_BY, close, deploy_service
from fantasm_gcp.deploying.commands import gcloud, render_command
from fantasm_gcp.deploying.findings import (
    Answer,
    Answers,
    Finding,
    error,
    fields_of,
    items_of,
    ok,
    unseen,
    warning,
)
from fantasm_gcp.deploying.installation import Installation
from fantasm_gcp.deploying.roles import (
    ACT_AS,
    BASIC,
    EVERYBODY,
    INVOKER,
    RUNTIME_NEEDS,
    grant,
    grant_acting,
    grant_invoking,
    invokers,
    member_of,
)

IAM_CHECK_OFF: Final = "run.googleapis.com/invoker-iam-disabled"
_MAY_COME: Final = (INVOKER, "roles/run.admin")
_DEFAULT_TIMEOUT: Final = 300
_LITTLE_TIME: Final = 600
_ELSEWHERE: Final = ("group:", "domain:", "principalSet:", "principal:")


def check_roles(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """The roles of the account that the application runs as."""
    answer = answers["policy"]
    check = f"roles of {installation.account}"
    if answer.refusal:
        yield unseen(check, answer)
        return
    held = roles_of(answer, installation.account)
    missing = [need for need in RUNTIME_NEEDS if held.isdisjoint({need.role, *need.others})]
    for need in missing:
        mend = grant(installation, installation.account, need.role, "")
        yield _not_seen(answers, check, f"{need.role}, with which it {need.why}", render_command(mend.argv))
    broad = sorted(held.intersection(BASIC))
    if not missing and broad:
        yield ok(check, f"has them through {broad[0]}, which may do far more")
    elif not missing:
        yield ok(check, f"has {', '.join(need.role for need in RUNTIME_NEEDS)}")
    if installation.on_cloud_run:
        yield from _check_acting(installation, answers, held)


def _check_acting(installation: Installation, answers: Answers, held: set[str]) -> Iterator[Finding]:
    answer, check = answers["task policy"], f"account {installation.task_account}"
    if answer.refusal:
        yield unseen(check, answer)
    elif {ACT_AS, *BASIC}.isdisjoint(held | roles_of(answer, installation.account)):
        words = f"{ACT_AS} on it for {installation.account}: tasks could not bring its tokens along"
        yield _not_seen(answers, check, words, render_command(grant_acting(installation).argv))
    else:
        yield ok(check, f"{installation.account} may have tasks bring its tokens along")


def check_access(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """Who may reach the service of Cloud Run, and whether the application knows how they are verified."""
    answer = answers["run policy"]
    if answer.refusal:
        yield unseen("access", answer)
        return
    service = next(iter(answers["run"].items()), {})
    annotations = fields_of(fields_of(service.get("metadata")).get("annotations"))
    switched_off = str(annotations.get(IAM_CHECK_OFF)).lower() == "true"
    public = switched_off or "allUsers" in members(answer, INVOKER)
    trusting = bool(installation.settings.verified_by)
    if public and trusting:
        words = f"{VERIFIED_BY}=cloud-run, but requests of everybody get in: anybody can say to be anybody"
        yield error("access", words, _close(installation, switched_off))
    elif not public and not trusting:
        words = f"Cloud Run verifies tokens and takes their signatures away, but {VERIFIED_BY} is not set"
        yield error("access", words, _update(installation, f"--update-env-vars={VERIFIED_BY}=cloud-run"))
    elif public:
        yield ok("access", "open to requests of everybody; the application verifies every token itself")
    else:
        if EVERYBODY[1] in members(answer, INVOKER):
            yield warning("access", "everybody who has a Google account reaches the application")
        yield from _check_invokers(installation, answers)


def _check_invokers(installation: Installation, answers: Answers) -> Iterator[Finding]:
    missing = 0
    for account, why in invokers(installation):
        held = roles_of(answers["run policy"], account) | roles_of(answers["policy"], account)
        if held.isdisjoint(_MAY_COME):
            missing += 1
            mend = grant_invoking(installation, account, why)
            yield _not_seen(answers, "access", f"{INVOKER} for {account}: {why}", render_command(mend.argv))
    if not missing:
        yield ok("access", "Cloud Run lets nobody in without a token, and those in who have to come")


def _close(installation: Installation, switched_off: bool) -> str:
    if switched_off:
        return _update(installation, "--invoker-iam-check")
    return render_command(close(installation).instead)


def _update(installation: Installation, flag: str) -> str:
    where = (installation.service, f"--region={installation.region}", flag)
    return render_command(gcloud(installation.project, "run", "services", "update", *where))


def check_service(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """The service there, ready, and letting a step have the time it may take."""
    answer, check = answers["run"], f"service {installation.service}"
    service = next(iter(answer.items()), None)
    if answer.refusal:
        yield unseen(check, answer)
    elif service is None:
        yield error(check, f"there is none in {installation.region}", deploy_service(installation))
    else:
        ready = next((each for each in _conditions(service) if each.get("type") == "Ready"), {})
        spec = _template(service)
        if ready.get("status") != "True":
            yield error(check, f"is not ready: {ready.get('message', 'Cloud Run does not say why')}")
        else:
            revision = fields_of(service.get("status")).get("latestReadyRevisionName")
            yield ok(check, f"revision {revision} serves")
        seconds = spec.get("timeoutSeconds", _DEFAULT_TIMEOUT)
        if isinstance(seconds, int) and seconds < _LITTLE_TIME:
            words = f"a request ends after {seconds} s; steps may need more"
            yield warning(check, words, _update(installation, "--timeout=1800"))


def _conditions(service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return items_of(fields_of(service.get("status")).get("conditions"))


def _template(service: Mapping[str, Any]) -> Mapping[str, Any]:
    template = fields_of(fields_of(service.get("spec")).get("template"))
    return fields_of(template.get("spec"))


def members(policy: Answer, role: str) -> set[str]:
    """Those to whom a policy gives a role without a condition."""
    return {each for binding in _bindings(policy, role) for each in _members(binding)}


def roles_of(policy: Answer, account: str) -> set[str]:
    """The roles that a policy gives to an account without a condition."""
    member = member_of(account)
    return {str(each.get("role")) for each in _bindings(policy) if member in _members(each)}


def _bindings(policy: Answer, role: str = "") -> list[Mapping[str, Any]]:
    found = [each for each in items_of(policy.fields().get("bindings")) if not each.get("condition")]
    return [each for each in found if not role or each.get("role") == role]


def _members(binding: Mapping[str, Any]) -> list[str]:
    found = binding.get("members")
    return list(map(str, found)) if isinstance(found, list) else []


def _not_seen(answers: Answers, check: str, words: str, mend: str) -> Finding:
    """A role that the policies do not give. What they do not show may: folders, groups, own roles."""
    bindings = items_of(answers["policy"].fields().get("bindings"))
    hidden = [
        *(["the folder or organisation"] if answers["project"].fields().get("parent") else []),
        *(["a group"] if _has_groups(bindings) else []),
        *(["a role of your own"] if _has_own_roles(bindings) else []),
    ]
    if hidden:
        return warning(check, f"not seen here: {words}; {' or '.join(hidden)} may give it", mend)
    return error(check, f"missing: {words}", mend)


def _has_groups(bindings: list[Mapping[str, Any]]) -> bool:
    return any(member.startswith(_ELSEWHERE) for each in bindings for member in _members(each))


def _has_own_roles(bindings: list[Mapping[str, Any]]) -> bool:
    return any(not str(each.get("role", "roles/")).startswith("roles/") for each in bindings)
