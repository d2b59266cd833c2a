"""The application whose workers are killed: its machines' actions, and what has to be there at the end.

``gunicorn "killed:create_app()"`` serves it; the variable ``KILLED_MOMENTS`` names the directory of the
appointments. Counts are made in transactions; what is staged has keys without names, so that what is written
twice is there twice.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from flask import Flask, has_request_context, request
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter

from benchmarks.appointments import Moments, Reporting
from fantasm_gcp import Fantasm, Settings
from fantasm_gcp.gateways.clients import Channels

ROUNDS = 4
PAGES = 3
LEAVES = 3
ITEMS = 7
CHILDREN = 3
BATCH = 3
"""The most contexts of a batch of the states in BATCHES."""

BATCHES = ("picked", "merged")
MACHINES = ("Chain", "Tree", "Crawl", "Family")
"""Those that are started; each is told to Told once."""

moments = Moments(Path(os.environ.get("KILLED_MOMENTS", os.devnull)))


AHEAD_HEADER = "X-Ahead"
"""How many seconds the clock is ahead while a request with this header is answered.

So a sweep finds what will be overdue then: nobody has to wait for the minute that it gives every step.
"""


def clock() -> float:
    return time.time() + (float(request.headers.get(AHEAD_HEADER, 0)) if has_request_context() else 0)


def create_app() -> Flask:
    settings = Settings.from_environ(os.environ)
    app = Flask(__name__)

    def channel(host: str) -> Any:
        return lambda: grpc.intercept_channel(grpc.insecure_channel(host), Reporting(moments))

    channels = Channels(channel(settings.datastore_emulator_host), channel(settings.tasks_emulator_host))
    Fantasm(app, settings, channels=channels, clock=clock)

    @app.before_request
    def enter() -> None:
        named = request.view_args or {}
        where = [named[each] for each in ("machine", "target") if each in named]
        moments.enter(" ".join(where) or request.path.strip("/").replace("/", " "))

    return app


def tally(context: Any, *names: str) -> None:
    """Adds one to counters, in the step's transaction."""
    client = context.datastore
    keys = [client.key("Tally", f"{context.instance_name} {name}") for name in names]
    found = {each.key: each for each in client.get_multi(keys)}
    for key in keys:
        counter = found.get(key) or datastore.Entity(key)
        counter["n"] = counter.get("n", 0) + 1
        client.put(counter)
    moments.reach("action")


def stage(context: Any, what: str, **values: Any) -> None:
    """Has an entity written with the step."""
    entity = datastore.Entity(context.datastore.key("Staged"))
    entity.update(instance=context.instance_name, what=what, **values)
    context.put(entity)
    moments.reach("action")


def draw(context: Any, obj: Any) -> str:
    context["token"] = context.once("token", lambda: uuid.uuid4().hex)
    seen = datastore.Entity(context.datastore.key("Drawn"))
    seen.update(instance=context.instance_name, token=context["token"])
    context.datastore.put(seen)  # at once, and again on every attempt
    moments.reach("action")
    context["round"] = 0
    return "go"


def count(context: Any, obj: Any) -> str:
    tally(context, "rounds")
    context["round"] += 1
    return "again" if context["round"] < ROUNDS else "done"


def keep(context: Any, obj: Any) -> None:
    stage(context, "kept", values=[context["token"]])


class Plant:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        obj.page = int(token or 0)
        moments.reach("action")
        return str(obj.page + 1) if obj.page + 1 < PAGES else None

    def execute(self, context: Any, obj: Any) -> str:
        for leaf in range(1, LEAVES):
            context.fork({"leaf": f"{obj.page}.{leaf}", "colour": leaf % 2})
        context.update(leaf=f"{obj.page}.0", colour=0)
        return "grown"


def pick(contexts: Any, obj: Any) -> str:
    (colour,) = {each["colour"] for each in contexts}
    leaves = [each["leaf"] for each in contexts]
    stage(contexts, f"picked {colour}", values=leaves)
    contexts.context["leaves"] = leaves
    return "picked"


def pack(contexts: Any, obj: Any) -> None:
    leaves = [leaf for each in contexts for leaf in each["leaves"]]
    stage(contexts, "packed", values=leaves)
    tally(contexts, *leaves)


def split(context: Any, obj: Any) -> str:
    context["round"] = 0
    for item in range(1, ITEMS):
        context.fork({"item": item})
    context["item"] = 0
    return "each"


def fetch(context: Any, obj: Any) -> str:
    stage(context, f"fetched {context['round']}", values=[str(context["item"])])
    return "brittle" if context["item"] % 3 == 2 else "fetched"


def break_down(context: Any, obj: Any) -> str:
    stage(context, "never", values=[])  # a failed attempt's writes are dropped
    raise RuntimeError("it always does")


def tell_failure(context: Any, obj: Any) -> str:
    stage(context, f"gone {context['round']}", values=[str(context["item"])] if context.failure else [])
    return "told"


def merge(contexts: Any, obj: Any) -> str:
    (number,) = {each["round"] for each in contexts}
    items = [each["item"] for each in contexts]
    stage(contexts, f"merged {number}", values=list(map(str, items)))
    contexts.context["round"] = number + 1
    if number == 0:
        for item in items[1:]:
            contexts.fork({"item": item})
        return "again"
    contexts.context["items"] = items
    return "over"


def total(contexts: Any, obj: Any) -> None:
    tally(contexts, "totals", *(f"item {item}" for each in contexts for item in each["items"]))


def bear(context: Any, obj: Any) -> str:
    context.spawn("Child", [{"child": child} for child in range(CHILDREN)], join=True)
    moments.reach("action")
    return "born"


def gather(contexts: Any, obj: Any) -> None:
    stage(contexts, "gathered", values=[each.status for each in contexts.children()])


def grow(context: Any, obj: Any) -> str:
    tally(context, f"child {context['child']}")
    return "later"


def leave(context: Any, obj: Any) -> None:
    stage(context, "left", values=[str(context["child"])])


def note(context: Any, obj: Any) -> None:
    client = context.datastore
    key = client.key("Told", context["instance"])
    told = client.get(key) or datastore.Entity(key)
    told.update(n=told.get("n", 0) + 1, status=context["status"])
    client.put(told)
    moments.reach("action")


# -- what has to be there at the end ----------------------------------------------------------------------

_LEAVES = {f"{page}.{leaf}": 1 for page in range(PAGES) for leaf in range(LEAVES)}
_ITEMS = {str(item): 1 for item in range(ITEMS)}
_GONE = {item: 1 for item in _ITEMS if int(item) % 3 == 2}
_COLOURS = {colour: {each: 1 for each in _LEAVES if int(each[-1]) % 2 == colour} for colour in (0, 1)}
_TALLIES = {
    "Chain": {"rounds": ROUNDS},
    "Tree": _LEAVES,
    "Crawl": {"totals": 1, **{f"item {item}": 1 for item in _ITEMS}},
    "Family": {f"child {child}": 1 for child in range(CHILDREN)},
}
_STAGED: dict[str, dict[str, dict[str, int]]] = {
    "Chain": {},
    "Tree": {**{f"picked {colour}": leaves for colour, leaves in _COLOURS.items()}, "packed": _LEAVES},
    "Crawl": {
        **{f"{what} {number}": _ITEMS for what in ("fetched", "merged") for number in (0, 1)},
        **{f"gone {number}": _GONE for number in (0, 1)},
    },
    "Family": {
        "gathered": {"completed": CHILDREN},
        "left": {str(child): 1 for child in range(CHILDREN)},
    },
}


def wrong_counts(client: Any, instances: Mapping[str, Any]) -> list[str]:
    """What was lost or doubled in instances; they are given by their ids."""
    # What a child does counts as done by its parent.
    owners = {name: row["parent"] if row["machine"] == "Child" else name for name, row in instances.items()}
    tallies, staged, wrong = _counted(client, owners), _written(client, owners), []
    for name, row in instances.items():
        machine = row["machine"]
        if machine not in MACHINES:
            continue
        wanted = dict(_STAGED[machine])
        if machine == "Chain":
            wanted["kept"] = _remembered(client, name)
        if tallies[name] != _TALLIES[machine]:
            wrong.append(f"{name}: counted {dict(tallies[name])} instead of {_TALLIES[machine]}")
        written = {what: dict(sum(batches, Counter())) for what, batches in staged[name].items()}
        if written != wanted:
            wrong.append(f"{name}: wrote {written} instead of {wanted}")
        sizes = [
            batch.total() for what in staged[name] if what[:6] in BATCHES for batch in staged[name][what]
        ]
        if sizes and not 1 <= min(sizes) <= max(sizes) <= BATCH:
            wrong.append(f"{name}: batches of {sizes}")
    return wrong + _wrongly_told(
        client, [name for name, row in instances.items() if row["machine"] in MACHINES]
    )


def _counted(client: Any, owners: Mapping[str, str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for each in client.query(kind="Tally").fetch():
        instance, _, name = each.key.name.partition(" ")
        found[owners.get(instance, "")][name] += each["n"]
    return found


def _written(client: Any, owners: Mapping[str, str]) -> dict[str, dict[str, list[Counter[str]]]]:
    """What was staged in each instance, batch by batch."""
    found: dict[str, dict[str, list[Counter[str]]]] = defaultdict(lambda: defaultdict(list))
    for each in client.query(kind="Staged").fetch():
        found[owners.get(each["instance"], "")][each["what"]].append(Counter(each["values"]))
    return found


def _remembered(client: Any, instance: str) -> dict[str, int]:
    """What the attempts of Draw were told that the remembered call has answered: all of them the same."""
    query = client.query(kind="Drawn")
    query.add_filter(filter=PropertyFilter("instance", "=", instance))
    return dict.fromkeys((each["token"] for each in query.fetch()), 1)


def _wrongly_told(client: Any, ended: Sequence[str]) -> list[str]:
    found = {each.key.name: (each["n"], each["status"]) for each in client.query(kind="Told").fetch()}
    wanted = dict.fromkeys(ended, (1, "completed"))
    names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    return [f"the end of {name} was told so: {found.get(name)}" for name in names]
