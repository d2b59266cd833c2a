"""The commands that both runtimes need: services, database, queues, TTL policies, indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fantasm_gcp.deploying.commands import Command, gcloud
from fantasm_gcp.deploying.installation import Installation, Queue

EXPIRING: Final = ("FantasmStep", "FantasmLog", "FantasmMemo", "FantasmPayload")
"""The kinds whose rows Datastore deletes by their ``expires``. Not those of FantasmInstance, which the
scrubber of cron.yaml deletes: with a policy it would not find what has failed (docs/history.md)."""

COMMON_SERVICES: Final = (
    *("cloudtasks.googleapis.com", "datastore.googleapis.com", "firestore.googleapis.com"),
    *("cloudbuild.googleapis.com", "iam.googleapis.com"),
)
APP_ENGINE_SERVICES: Final = (
    *("appengine.googleapis.com", "cloudscheduler.googleapis.com"),  # which cron.yaml becomes jobs of
    *COMMON_SERVICES,
)
CLOUD_RUN_SERVICES: Final = (
    *("run.googleapis.com", "artifactregistry.googleapis.com", "cloudscheduler.googleapis.com"),
    *COMMON_SERVICES,
)
SECRETS_SERVICE: Final = "secretmanager.googleapis.com"

NAME: Final = "--format=value(name)"


def services(installation: Installation) -> tuple[str, ...]:
    """The APIs that have to be enabled."""
    names = CLOUD_RUN_SERVICES if installation.on_cloud_run else APP_ENGINE_SERVICES
    return (*names, SECRETS_SERVICE) if installation.secrets else names


def enable(installation: Installation, *names: str) -> Command:
    """Enables APIs; those that are enabled already stay so."""
    return Command(
        gcloud(installation.project, "services", "enable", *names), "The APIs of what is used, and no others"
    )


def create_database(installation: Installation) -> Command:
    """Makes the database. In Datastore mode; its transactions are pessimistic then, Google's default."""
    where = f"--database={installation.database}"
    return Command(
        gcloud(
            installation.project,
            *("firestore", "databases", "create", where, "--type=datastore-mode", "--edition=standard"),
            f"--location={installation.database_location or installation.region}",
        ),
        "The database, in Datastore mode. Its location cannot be changed afterwards",
        check=gcloud(installation.project, "firestore", "databases", "describe", where, NAME),
    )


def enable_ttl(installation: Installation, kind: str) -> Command:
    """Has Datastore delete the rows of a kind by the time in their ``expires``; takes some ten minutes."""
    where = (f"--collection-group={kind}", f"--database={installation.database}")
    listing = ("firestore", "fields", "ttls", "list", *where, "--filter=name:expires", NAME)
    updating = ("firestore", "fields", "ttls", "update", "expires", *where, "--enable-ttl", "--async")
    return Command(
        gcloud(installation.project, *updating),
        f"Datastore deletes what is old of {kind}",
        check=gcloud(installation.project, *listing),
    )


def create_queue(installation: Installation, queue: Queue) -> Command:
    """Makes a queue, or configures the one that is there; what is not written anywhere stays as it is."""
    where = f"--location={installation.region}"

    def tell(verb: str, *flags: str) -> tuple[str, ...]:
        return gcloud(installation.project, "tasks", "queues", verb, queue.name, where, *flags)

    flags = tuple(_flags(queue))
    return Command(
        tell("create", *flags),
        f"The queue {queue.name}"
        + (
            ""
            if queue.rate
            else ": how often a step is tried, its machine says; the rate is Cloud Tasks' own"
        ),
        check=tell("describe", NAME),
        instead=tell("update", *flags),
    )


def set_queue(installation: Installation, name: str, verb: str, why: str) -> Command:
    """Pauses or resumes a queue."""
    where = f"--location={installation.region}"
    return Command(gcloud(installation.project, "tasks", "queues", verb, name, where), why)


def create_queues(installation: Installation) -> Iterator[Command]:
    """Makes every queue, and pauses those that are to be paused."""
    for queue in installation.queues:
        yield create_queue(installation, queue)
        if queue.paused:
            why = f"queue.yaml gives {queue.name} the rate 0, which pauses it"
            yield set_queue(installation, queue.name, "pause", why)


def create_indexes(installation: Installation) -> Command:
    """Makes the composite indexes of index.yaml; it does not wait until they are built."""
    where = f"--database={installation.database}"
    argv = gcloud(installation.project, "datastore", "indexes", "create", "index.yaml", where)
    return Command(argv, "The composite indexes of index.yaml; building them goes on afterwards")


def _flags(queue: Queue) -> Iterator[str]:
    if queue.rate is not None:
        yield f"--max-dispatches-per-second={queue.rate:.9g}"
    if queue.concurrent is not None:
        yield f"--max-concurrent-dispatches={queue.concurrent}"
    yield f"--max-attempts={queue.attempts}"
    if queue.age is not None:
        yield f"--max-retry-duration={queue.age}s"
    if queue.min_backoff is not None:
        yield f"--min-backoff={queue.min_backoff:.9g}s"
    if queue.max_backoff is not None:
        yield f"--max-backoff={queue.max_backoff:.9g}s"
    if queue.doublings is not None:
        yield f"--max-doublings={queue.doublings}"
    if queue.routing:
        yield f"--routing-override={queue.routing}"
