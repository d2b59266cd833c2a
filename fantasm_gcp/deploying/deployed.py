"""The settings of an application as it is deployed on Cloud Run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fantasm_gcp.deploying.commands import gcloud, render_command
from fantasm_gcp.deploying.findings import Answers, Finding, error, fields_of, items_of, ok, warning
from fantasm_gcp.deploying.installation import Installation
from fantasm_gcp.errors import SettingsError
from fantasm_gcp.settings import COMMAND_LINE, Settings, complete

CHECK = "settings"


def find_deployed(installation: Installation, answers: Answers) -> tuple[Installation, tuple[Finding, ...]]:
    """The installation with what the deployed service says of itself, and what is wrong with its variables.

    Where there is no service, or its settings cannot be used, the installation stays as it is planned.
    """
    service: Mapping[str, Any] = next(iter(answers["run"].items()), {})
    spec = fields_of(fields_of(fields_of(service.get("spec")).get("template")).get("spec"))
    variables = dict(_variables(spec))
    if not service:
        return installation, ()
    runs_as = str(spec.get("serviceAccountName") or "")
    try:
        settings = _settings(installation, variables, runs_as)
        found = replace(installation, settings=settings, runtime_account=runs_as)
    except SettingsError as problem:
        return installation, (error(CHECK, f"as deployed: {problem}", _mend(installation, variables)),)
    return found, tuple(_compare(found))


def _settings(installation: Installation, variables: Mapping[str, str], runs_as: str) -> Settings:
    known = {
        "project/project-id": installation.project,
        "project/numeric-project-id": installation.number,
        "instance/region": f"projects/{installation.number}/regions/{installation.region}",
        "instance/service-accounts/default/email": runs_as,
    }
    environ = {**variables, "K_SERVICE": installation.service}
    return complete(Settings.from_environ(environ), lambda path: known.get(path, ""))


def _variables(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The variables whose values can be seen: those of secrets cannot."""
    for container in items_of(spec.get("containers"))[:1]:
        for each in items_of(container.get("env")):
            if isinstance(each.get("value"), str):
                yield str(each.get("name")), each["value"]


def _mend(installation: Installation, variables: Mapping[str, str]) -> str:
    """Takes off the variables that are none; empty where what is wrong is a value."""
    known = _known()
    unknown = sorted(
        each for each in variables if each.startswith("FANTASM_") and each not in (*known, *COMMAND_LINE)
    )
    if not unknown:
        return ""
    where = (installation.service, f"--region={installation.region}")
    flag = f"--remove-env-vars={','.join(unknown)}"
    return render_command(gcloud(installation.project, "run", "services", "update", *where, flag))


def _known() -> tuple[str, ...]:
    rows = Settings.__dataclass_fields__.values()
    return tuple(str(each.metadata["variable"]) for each in rows if "variable" in each.metadata)


def _compare(found: Installation) -> Iterator[Finding]:
    """What was deployed for another place than the one that is looked at."""
    settings = found.settings
    if settings.project != found.project:
        yield error(CHECK, f"the service works on project {settings.project}, not {found.project}")
    elif settings.has_app_engine_target:
        words = "FANTASM_TARGET sends tasks to App Engine, and not to this service: take it off"
        flags = ("--remove-env-vars=FANTASM_TARGET", f"--region={found.region}")
        argv = gcloud(found.project, "run", "services", "update", found.service, *flags)
        yield error(CHECK, words, render_command(argv))
    elif settings.location != found.region:
        words = f"the queues are looked for in {settings.location}, but the service is in {found.region}"
        yield warning(CHECK, words)
    else:
        yield ok(CHECK, f"tasks go to {settings.target}, with tokens of {settings.service_account}")
