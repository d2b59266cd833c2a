"""The documented fields of the files that are deployed, for machines without gcloud, and a small validator."""

from __future__ import annotations

import re
from dataclasses import dataclass

ANY_TEXT = re.compile(r"(?s).+")


@dataclass(frozen=True)
class Fields:
    """A mapping with these fields; ``needed`` have to be there. ``also`` is a pattern for names of others."""

    known: dict
    needed: tuple = ()
    also: str = ""


@dataclass(frozen=True)
class Many:
    """A list of these, at least ``least`` of them."""

    of: object
    least: int = 0


def problems(value, schema, where="the file"):
    """What in a value is not as the schema says, in words."""
    if isinstance(schema, Fields):
        return _of_fields(value, schema, where)
    if isinstance(schema, Many):
        if not isinstance(value, list) or len(value) < schema.least:
            return [f"{where} is no list of {schema.least} or more"]
        return [each for n, one in enumerate(value) for each in problems(one, schema.of, f"{where}[{n}]")]
    if isinstance(schema, re.Pattern):
        fits = isinstance(value, str) and schema.fullmatch(value)
        return [] if fits else [f"{where} is {value!r}, not {schema.pattern}"]
    if isinstance(schema, range):
        fits = type(value) is int and value in schema
        return [] if fits else [f"{where} is {value!r}, not in {schema}"]
    return [] if isinstance(value, schema) else [f"{where} is {value!r}, not {schema.__name__}"]


def _of_fields(value, schema, where):
    if not isinstance(value, dict):
        return [f"{where} is no mapping"]
    found = [f"{where} has no {name}" for name in schema.needed if name not in value]
    for name, each in value.items():
        if name in schema.known:
            found += problems(each, schema.known[name], f"{where}.{name}")
        elif schema.also and isinstance(name, str) and re.fullmatch(schema.also, name):
            found += problems(each, ANY_TEXT, f"{where}.{name}")
        else:
            found.append(f"{where} has an unknown {name}")
    return found


HANDLER = Fields(
    {
        "url": re.compile(r"/.*"),
        "script": re.compile("auto"),  # the only one that Python 3 knows
        "secure": re.compile("always|optional|never"),
        "login": re.compile("admin|optional|required"),
        "auth_fail_action": re.compile("redirect|unauthorized"),
        "redirect_http_response_code": re.compile("30[1237]"),
        "static_dir": ANY_TEXT,
        "static_files": ANY_TEXT,
        "upload": ANY_TEXT,
    },
    needed=("url",),
)

APP = Fields(
    {
        "runtime": re.compile(r"python3(1[0-9])?"),
        "service": re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
        "instance_class": re.compile(r"F[124]|F4_1G|B[1248]|B4_1G"),
        "entrypoint": ANY_TEXT,
        "app_engine_apis": bool,
        "handlers": Many(HANDLER, 1),
        "inbound_services": Many(re.compile("warmup|mail")),
        "automatic_scaling": Fields(
            {
                "max_instances": range(1, 2001),
                "min_instances": range(1001),
                "min_idle_instances": range(1001),
                "max_concurrent_requests": range(1, 1001),
                "target_cpu_utilization": float,
            }
        ),
        "env_variables": Fields({}, also="[A-Z][A-Z0-9_]*"),
        "service_account": ANY_TEXT,
    },
    needed=("runtime",),
)

CRON = Fields(
    {
        "cron": Many(
            Fields(
                {
                    "description": ANY_TEXT,
                    "url": re.compile(r"/.*"),
                    "schedule": re.compile(r"every \d+ (minutes|hours)|every day [0-2]\d:[0-5]\d"),
                    "timezone": ANY_TEXT,
                    "target": ANY_TEXT,
                    "retry_parameters": Fields(
                        {
                            "job_retry_limit": range(6),
                            "job_age_limit": ANY_TEXT,
                            "min_backoff_seconds": range(3601),
                            "max_backoff_seconds": range(3601),
                            "max_doublings": range(6),
                        }
                    ),
                },
                needed=("url", "schedule"),
            )
        )
    },
    needed=("cron",),
)

INDEX = Fields(
    {
        "indexes": Many(
            Fields(
                {
                    "kind": ANY_TEXT,
                    "ancestor": bool,
                    "properties": Many(
                        Fields({"name": ANY_TEXT, "direction": re.compile("asc|desc")}, needed=("name",)), 1
                    ),
                },
                needed=("kind", "properties"),
            )
        )
    },
    needed=("indexes",),
)

BUILD = Fields(
    {
        "substitutions": Fields({}, also="_[A-Z0-9_]+"),
        "steps": Many(
            Fields(
                {
                    "id": ANY_TEXT,
                    "name": re.compile(r"[\w./-]+(:[\w.-]+)?"),
                    "entrypoint": ANY_TEXT,
                    "args": Many(ANY_TEXT),
                    "env": Many(re.compile(r"[A-Z_]+=.*")),
                    "script": ANY_TEXT,
                    "dir": ANY_TEXT,
                    "timeout": re.compile(r"\d+s"),
                    "waitFor": Many(ANY_TEXT),
                },
                needed=("name",),
            ),
            1,
        ),
        "images": Many(ANY_TEXT),
        "serviceAccount": ANY_TEXT,
        "timeout": re.compile(r"\d+s"),
        "options": Fields(
            {
                "logging": re.compile("CLOUD_LOGGING_ONLY|GCS_ONLY|LEGACY|NONE"),
                "machineType": ANY_TEXT,
                "automapSubstitutions": bool,
            }
        ),
    },
    needed=("steps",),
)
