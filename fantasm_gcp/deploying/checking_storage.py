"""Whether the queues, the database and its TTL policies are as the engine needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fantasm_gcp.deploying.commands import gcloud, render_command
from fantasm_gcp.deploying.findings import Answers, Finding, error, fields_of, last_part, ok, unseen, warning
from fantasm_gcp.deploying.installation import Installation, Queue
from fantasm_gcp.deploying.parts import EXPIRING, create_database, create_queue, enable_ttl, set_queue

ENTITY_GROUPS: Final = "OPTIMISTIC_WITH_ENTITY_GROUPS"
_INSTANCES: Final = "FantasmInstance"
_SLOW: Final = 1.0


def check_queues(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """Each queue there, running, and sending tasks where they are meant to go."""
    answer = answers["queues"]
    if answer.refusal:
        yield unseen("queues", answer)
        return
    there = {last_part(each.get("name")): each for each in answer.items()}
    for queue in installation.queues:
        check = f"queue {queue.name}"
        if queue.name not in there:
            words = f"there is none in {installation.region}: no task can be created in it"
            yield error(check, words, create_queue(installation, queue))
        else:
            problems = list(_of_queue(installation, queue, there[queue.name]))
            yield from problems or [ok(check, _described(there[queue.name]))]


def _of_queue(installation: Installation, queue: Queue, found: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with a queue. Not how it retries: each task says that itself, and is believed."""
    check, state = f"queue {queue.name}", found.get("state", "RUNNING")
    if state != "RUNNING" and not (queue.paused and state == "PAUSED"):
        told = error if state == "DISABLED" else warning
        resume = set_queue(installation, queue.name, "resume", "")
        yield told(check, f"is {state}: its tasks wait", resume)
    update = ("tasks", "queues", "update", queue.name, f"--location={installation.region}")
    routing = found.get("appEngineRoutingOverride")
    if routing and not queue.routing:
        sent = " ".join(f"{key} {routing[key]}" for key in sorted(routing) if key != "host")
        mend = render_command(gcloud(installation.project, *update, "--clear-routing-override"))
        yield warning(check, f"sends all of its tasks to {sent or 'one place'}, whatever machines say", mend)
    if found.get("httpTarget"):
        flags = ("--clear-http-uri-override", "--clear-http-method-override", "--clear-http-header-override")
        mend = render_command(gcloud(installation.project, *update, *flags))
        yield error(check, "changes the URL, the method or the headers of its tasks (httpTarget)", mend)
    rate = _rate(found)
    if queue.rate is None and rate is not None and rate < _SLOW:
        flag = "--max-dispatches-per-second=500"
        mend = render_command(gcloud(installation.project, *update, flag))
        yield warning(check, f"sends {rate:g} tasks per second: steps wait for one another", mend)


def _rate(found: Mapping[str, Any]) -> float | None:
    rate = fields_of(found.get("rateLimits")).get("maxDispatchesPerSecond")
    return float(rate) if isinstance(rate, int | float) else None


def _described(found: Mapping[str, Any]) -> str:
    limits = fields_of(found.get("rateLimits"))
    at_once = limits.get("maxConcurrentDispatches", "?")
    return (
        f"running, up to {limits.get('maxDispatchesPerSecond', '?')} tasks per second and {at_once} at a time"
    )


def check_database(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """The database there, in Datastore mode, and not with the limits of entity groups."""
    answer, name = answers["databases"], installation.database
    check = f"database {name}"
    if answer.refusal:
        yield unseen(check, answer)
        return
    found = next((each for each in answer.items() if last_part(each.get("name")) == name), None)
    if found is None:
        yield error(check, "there is no such database", create_database(installation))
    elif found.get("type") != "DATASTORE_MODE":
        where = ("firestore", "databases", "update", f"--database={name}", "--type=datastore-mode")
        words = (
            f"is of type {found.get('type')}, not in Datastore mode; that can be changed while it is empty"
        )
        yield error(check, words, render_command(gcloud(installation.project, *where)))
    elif found.get("concurrencyMode") == ENTITY_GROUPS:
        words = (
            "is in the concurrency mode optimistic with entity groups: a transaction may touch 25 of them, "
            "and each is written once a second"
        )
        yield error(check, words, change_concurrency(installation))
    else:
        mode = str(found.get("concurrencyMode", "unknown")).lower()
        yield ok(check, f"in Datastore mode, {mode}, in {found.get('locationId', 'an unknown place')}")


def change_concurrency(installation: Installation) -> str:
    """The command that makes the database's transactions pessimistic, as those of a new one are.

    It asks Google's API itself: older gcloud, such as 528, has no flag for it. Newer has
    ``gcloud firestore databases update --concurrency-mode=pessimistic``.
    """
    url = (
        f"https://firestore.googleapis.com/v1/projects/{installation.project}/databases/{installation.database}"
        "?updateMask=concurrencyMode"
    )
    words = ("-H", "Content-Type: application/json", "-d", '{"concurrencyMode": "PESSIMISTIC"}', url)
    proof = '"Authorization: Bearer $(gcloud auth print-access-token)"'
    return f"curl --fail -X PATCH -H {proof} {render_command(words)}"


def check_ttl(installation: Installation, answers: Answers) -> Iterator[Finding]:
    """A policy on ``expires`` of each kind that is to have one, and none where it does harm."""
    answer = answers["ttls"]
    if answer.refusal:
        yield unseen("TTL", answer)
        return
    states = {kind: state for each in answer.items() for kind, state in _policy(each)}
    missing = [each for each in EXPIRING if each not in states]
    for kind in missing:
        words = f"{kind} has no policy: only the scrubber deletes what is old"
        yield warning("TTL", words, enable_ttl(installation, kind))
    for kind in EXPIRING:
        if states.get(kind) == "NEEDS_REPAIR":
            yield warning("TTL", f"the policy of {kind} needs repair", enable_ttl(installation, kind))
    if _INSTANCES in states:
        where = (f"--collection-group={_INSTANCES}", f"--database={installation.database}")
        argv = ("firestore", "fields", "ttls", "update", "expires", *where, "--disable-ttl", "--async")
        mend = render_command(gcloud(installation.project, *argv))
        yield warning("TTL", f"{_INSTANCES} has a policy: the scrubber does not find what has failed", mend)
    if not missing:
        yield ok("TTL", f"{', '.join(EXPIRING)} have a policy on expires")


def _policy(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """``…/collectionGroups/KIND/fields/expires`` and the state of its policy."""
    groups, _, rest = str(found.get("name")).rpartition("/collectionGroups/")
    kind, _, name = rest.partition("/fields/")
    if groups and name == "expires":
        yield kind, str(fields_of(found.get("ttlConfig")).get("state", "ACTIVE"))
