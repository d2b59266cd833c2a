"""Malformed requests, from a seeded random source: messages, JSON and HTTP that no client sends.

Most begin as a valid request of which a little is changed: those get furthest into a server.
"""

from __future__ import annotations

import json
import random
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from fantasm_gcp.local.http import Route
from fantasm_gcp.local.rpc import Method

QUEUE = "projects/proj/locations/here/queues/work"
WORDS = [
    "", "proj", QUEUE, f"{QUEUE}/tasks/a", "projects/proj/locations/here", "K", "a", "__key__", "__kind__",
    "__x__", "é\u0000\U0001f600", "x" * 1501, "http://worker.example/", "/run", "(default)", "state: PAUSED", "..",
    "name", "%2F", "\n", "9" * 30, "SELECT * FROM K WHERE a = @1",
]  # fmt: skip
KEY = {"partitionId": {"projectId": "proj"}, "path": [{"kind": "K", "name": "a"}]}
OPEN_KEY = {"partitionId": {"projectId": "proj"}, "path": [{"kind": "P", "id": "1"}, {"kind": "K"}]}
VALUES = {
    "i": {"integerValue": "1"}, "s": {"stringValue": "x"}, "d": {"doubleValue": 1.5}, "n": {"nullValue": None},
    "a": {"arrayValue": {"values": [{"integerValue": "1"}, {"stringValue": "x"}]}}, "k": {"keyValue": KEY},
    "t": {"timestampValue": "2026-01-02T03:04:05.678901Z"}, "b": {"blobValue": "AAEC"},
    "g": {"geoPointValue": {"latitude": 1, "longitude": 2}}, "e": {"entityValue": {"properties": {"x": {"booleanValue": True}}}},
}  # fmt: skip
ENTITY = {"key": KEY, "properties": VALUES}
FILTER = {"propertyFilter": {"property": {"name": "i"}, "op": "GREATER_THAN", "value": {"integerValue": "0"}}}
HAS = {"propertyFilter": {"property": {"name": "s"}, "op": "EQUAL", "value": {"stringValue": "x"}}}
QUERY = {"kind": [{"name": "K"}], "filter": FILTER, "order": [{"property": {"name": "i"}}], "limit": 3}
EITHER = {"kind": [{"name": "K"}], "filter": {"compositeFilter": {"op": "OR", "filters": [FILTER, HAS]}}}
PROJECTED = {
    "kind": [{"name": "K"}], "projection": [{"property": {"name": "i"}}], "distinctOn": [{"name": "i"}],
    "startCursor": "AAEC", "offset": 1,
}  # fmt: skip
GQL = {
    "queryString": "SELECT * FROM K WHERE i > @1",
    "positionalBindings": [{"value": {"integerValue": "0"}}],
}
IN_PROJECT = {"projectId": "proj", "partitionId": {"projectId": "proj"}}
HTTP_TASK = {"httpRequest": {"url": "http://worker.example/run", "headers": {"A": "b"}, "body": "AAEC"}}
APP_TASK = {
    "appEngineHttpRequest": {"relativeUri": "/run", "appEngineRouting": {"service": "x"}},
    "scheduleTime": "2026-01-02T03:04:05Z", "dispatchDeadline": "60s", "name": f"{QUEUE}/tasks/a",
}  # fmt: skip
CREATE = {"parent": QUEUE, "task": HTTP_TASK, "responseView": "FULL"}
LIMITS = {"rateLimits": {"maxDispatchesPerSecond": 5}, "retryConfig": {"maxAttempts": 3, "minBackoff": "1s"}}
LOCATION = QUEUE.rpartition("/queues/")[0]
VALID: dict[str, list[dict[str, Any]]] = {
    "Lookup": [{"projectId": "proj", "keys": [KEY], "readOptions": {"newTransaction": {}}}],
    "RunQuery": [
        *({**IN_PROJECT, "query": query} for query in (QUERY, EITHER, PROJECTED)),
        {**IN_PROJECT, "gqlQuery": GQL, "explainOptions": {"analyze": True}},
    ],
    "RunAggregationQuery": [
        {
            **IN_PROJECT,
            "aggregationQuery": {
                "nestedQuery": QUERY,
                "aggregations": [{"count": {}, "alias": "c"}, {"sum": {"property": {"name": "i"}}}],
            },
        }
    ],
    "BeginTransaction": [{"projectId": "proj", "transactionOptions": {"readWrite": {}}}],
    "Commit": [
        {"projectId": "proj", "mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": ENTITY}]},
        {
            "projectId": "proj",
            "mode": "TRANSACTIONAL",
            "singleUseTransaction": {},
            "mutations": [
                {"update": ENTITY, "propertyMask": {"paths": ["i"]}, "baseVersion": "1"},
                {
                    "upsert": {**ENTITY, "key": OPEN_KEY},
                    "propertyTransforms": [{"property": "i", "increment": {"integerValue": "2"}}],
                },
                {"delete": {**KEY, "path": [{"kind": "K", "id": "7"}]}, "conflictResolutionStrategy": "FAIL"},
            ],
        },
    ],
    "Rollback": [{"projectId": "proj", "transaction": "AAEC"}],
    "AllocateIds": [{"projectId": "proj", "keys": [OPEN_KEY]}],
    "ReserveIds": [{"projectId": "proj", "keys": [{**KEY, "path": [{"kind": "K", "id": "7"}]}]}],
    "ListQueues": [{"parent": LOCATION, "filter": "state: PAUSED OR NOT purgeTime:*", "pageSize": 2}],
    "CreateQueue": [{"parent": LOCATION, "queue": {"name": f"{QUEUE}2", **LIMITS}}],
    "UpdateQueue": [{"queue": {"name": QUEUE, **LIMITS}, "updateMask": "rateLimits.maxDispatchesPerSecond"}],
    **{
        name: [{"name": QUEUE}]
        for name in ("GetQueue", "DeleteQueue", "PurgeQueue", "PauseQueue", "ResumeQueue")
    },
    **{name: [{"resource": QUEUE}] for name in ("GetIamPolicy", "SetIamPolicy", "TestIamPermissions")},
    "ListTasks": [{"parent": QUEUE, "pageSize": 2, "responseView": "FULL", "pageToken": "AAEC"}],
    "CreateTask": [CREATE, {"parent": QUEUE, "task": APP_TASK}],
    **{name: [{"name": f"{QUEUE}/tasks/a"}] for name in ("GetTask", "DeleteTask", "RunTask")},
    "BatchCreateTasks": [{"parent": QUEUE, "requests": [CREATE, CREATE], "requestId": "r"}],
    "BatchDeleteTasks": [{"parent": QUEUE, "names": [f"{QUEUE}/tasks/a"]}],
    "GetCmekConfig": [{"name": f"{LOCATION}/cmekConfig"}],
    "UpdateCmekConfig": [{"cmekConfig": {"name": f"{LOCATION}/cmekConfig"}}],
    "GetLocation": [{"name": LOCATION}],
    "ListLocations": [{"name": "projects/proj", "pageSize": 1}],
    "GetOperation": [{"name": f"{LOCATION}/operations/1"}],
}
NUMBERS = [0, 1, -1, 2, 7, 100, 1000, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 253_402_300_800, 10**9]


def fill(message: Any, chance: random.Random, depth: int = 0) -> None:
    """Sets fields of a message at random: mostly to what a server has to look twice at."""
    fields = message.DESCRIPTOR.fields
    for field in fields:
        if chance.random() > (0.65 if depth < 2 else 0.35):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is None:
                getattr(message, field.name)[chance.choice(WORDS)] = chance.choice(WORDS)
            else:
                fill(getattr(message, field.name)[chance.choice(WORDS)], chance, depth + 1)
        elif field.is_repeated:
            for _ in range(chance.randrange(3)):
                if field.message_type is not None:
                    fill(getattr(message, field.name).add(), chance, depth + 1)
                else:
                    getattr(message, field.name).append(scalar(field, chance))
        elif field.message_type is not None:
            part = getattr(message, field.name)
            part.SetInParent()
            if depth < 7:
                fill(part, chance, depth + 1)
        else:
            setattr(message, field.name, scalar(field, chance))


def scalar(field: FieldDescriptor, chance: random.Random) -> Any:
    """A value for a field; the names that lead somewhere are frequent."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.choice([b"", b"\x00", b"\xff" * 8, chance.randbytes(20)])
        likely = {"project_id": "proj", "kind": "K", "name": QUEUE, "parent": QUEUE, "resource": QUEUE}
        return likely[field.name] if field.name in likely and chance.random() < 0.7 else chance.choice(WORDS)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return chance.choice([0.0, -0.0, 1.5, float("nan"), float("inf"), -1e308 if field.type == 1 else 1.0])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return chance.choice([0, 1, 2, 3, 5, 99, -1])
    if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32):
        return chance.choice([number for number in NUMBERS if -(2**31) <= number < 2**31])
    return chance.choice(NUMBERS)


def parts_of(message: Any) -> list[Any]:
    """A message and all messages within it."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if field.is_repeated else [value]:
            found += parts_of(part)
    return found


def disturb(message: Any, chance: random.Random) -> None:
    """Changes one field somewhere in a message: cleared, repeated, or set to something else."""
    part = chance.choice(parts_of(message))
    field = chance.choice(list(part.DESCRIPTOR.fields))
    way = chance.randrange(5)
    if way == 0:
        part.ClearField(field.name)
    elif way == 1 and field.is_repeated and len(getattr(part, field.name)) and field.message_type is not None:
        if not field.message_type.GetOptions().map_entry:
            getattr(part, field.name).extend(list(getattr(part, field.name)) * chance.choice([1, 50]))
    elif field.message_type is None and not field.is_repeated:
        setattr(part, field.name, scalar(field, chance))
    elif field.message_type is None:
        getattr(part, field.name).extend(scalar(field, chance) for _ in range(chance.randrange(3)))
    elif field.is_repeated and not field.message_type.GetOptions().map_entry:
        fill(getattr(part, field.name).add(), chance, 3)
    else:
        other = type(part)()
        fill(other, chance, 3)
        part.MergeFrom(other)


def malformed(name: str, method: Method, chance: random.Random) -> bytes:
    """Random bytes, a message of random fields, a valid one with some that are changed, or a damaged one."""
    way = chance.random()
    if way < 0.1:
        return chance.randbytes(chance.choice([1, 3, 10, 100, 2000]))
    message = method.request()
    if way < 0.3:
        fill(message, chance)
    else:
        json_format.ParseDict(chance.choice(VALID[name.rpartition("/")[2]]), message)
        for _ in range(chance.choice([1, 1, 2, 5])):
            disturb(message, chance)
    body = message.SerializeToString()
    return body if way < 0.8 else damage(body, chance)


def damage(whole: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, left out, put in or repeated."""
    body = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(body) + 1)
        match chance.randrange(4):
            case 0:
                body[place : place + 1] = chance.randbytes(1)
            case 1:
                del body[place : place + chance.randint(1, 20)]
            case 2:
                body[place:place] = chance.randbytes(chance.randint(1, 8))
            case _:
                body[place:place] = body[place : place + chance.randint(1, 200)]
    return bytes(body)


LEAVES: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "%", "NaN", "-Infinity", "9" * 400, "\ud800", "\x00", [], {}, [[]],
    {"@type": "type.googleapis.com/google.protobuf.Any"}, [None], {"": ""}, "2026-13-01T00:00:00Z", "-1s", "1e999s",
]  # fmt: skip


def disturb_json(value: Any, chance: random.Random) -> Any:
    """A copy with one place changed: another value, another name, left out, or too deep."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return chance.choice(LEAVES)
    if isinstance(value, list):
        place = chance.randrange(len(value))
        return [*value[:place], disturb_json(value[place], chance), *value[place + 1 :]]
    name = chance.choice(sorted(value))
    rest = {other: value[other] for other in value if other != name}
    match chance.randrange(8):
        case 0:
            return rest
        case 1:
            return {**rest, chance.choice([name.upper(), f"{name}x", "", "a.b", "é"]): value[name]}
        case 2:
            deep: Any = value[name]
            for _ in range(chance.choice([3, 150, 400])):
                deep = {name: deep}
            return {**rest, name: deep}
    return {**rest, name: disturb_json(value[name], chance)}


def damage_text(text: bytes, chance: random.Random) -> bytes:
    """JSON that is none: cut, damaged, nested without end, in another encoding."""
    match chance.randrange(8):
        case 0:
            return text[: chance.randrange(len(text) + 1)]
        case 1:
            return damage(text, chance)
        case 2:
            return b'{"task":' * 5000
        case 3:
            return text.decode().encode("utf-16")
        case 4:
            return b'{"pageSize": ' + b"9" * 6000 + b"}"
        case 5:
            return b"[" * 20000
    return text


PLACES = {
    "parent": QUEUE, "name": QUEUE, "resource": QUEUE, "queue.name": QUEUE, "project_id": "proj",
    "cmek_config.name": f"{LOCATION}/cmekConfig",
}  # fmt: skip
QUERIES = [
    "pageSize=x", "pageSize=1&pageSize=2", "a=b", "page_size=1", "filter=%zz", "filter=%ff", "$alt=xml", "alt=proto",
    "updateMask=rateLimits", "updateMask=..", "queue.rateLimits.maxBurstSize=1", "queue..=1", ".=1", "name.x=1",
    "$alt=json%3Benum-encoding%3Dint", "&&==&", "x" * 3000, "fields=name&prettyPrint=false", "parent=other",
    "responseView=7", "responseView=", "readOptions.transaction=%", "keys.path.kind=K", "task=1", "%",
    "queue.retryConfig.maxBackoff=1", "queue.state=9", "&".join(f"a{n}" for n in range(1200)),
]  # fmt: skip


def json_request(route: Route, chance: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    """A request for a route, with something wrong in its path, query, headers or body."""
    valid = chance.choice(VALID[route.method])
    path = route.template
    for field in route.fields:
        value = valid.get(field, PLACES[field])
        path = path.replace(path[path.index("{") : path.index("}") + 1], value, 1)
    body = (
        valid if route.body in ("*", "") else valid[{"cmek_config": "cmekConfig"}.get(route.body, route.body)]
    )
    body = disturb_json(body, chance) if chance.random() < 0.8 else body
    text = json.dumps(body).encode()
    text = damage_text(text, chance) if chance.random() < 0.3 else text
    if chance.random() < 0.3:
        place = chance.randrange(4, len(path))
        path = (
            path[:place] + chance.choice(["%", "%00", "%2F", "%ff", "/", ":", "..", "*", "^"]) + path[place:]
        )
    if chance.random() < 0.4:
        path += f"?{chance.choice(QUERIES)}"
    kinds = ["application/json"] * 8 + [
        "application/x-protobuf",
        "text/plain",
        "",
        "x" * 500,
        "application/json;",
    ]
    headers = {"Content-Type": chance.choice(kinds)}
    if chance.random() < 0.15:
        headers["Content-Encoding"] = chance.choice(["gzip", "br", "identity", "gzip, gzip", ""])
    if chance.random() < 0.05:
        headers["Origin"] = chance.choice(["http://elsewhere.example", "null", "http://[", ""])
    return (route.verb if chance.random() < 0.9 else chance.choice(["PUT", "HEAD", "X"])), path, text, headers


REQUEST_LINES = [
    b"GET / HTTP/1.1", b"GET /", b"GET", b"", b"\x16\x03\x01\x02\x00", b"GET  /  HTTP/1.1", b"GET / HTTP/9.9",
    b"GET / HTTP/1.1 x", b"PRI * HTTP/1.1", b"PRI * HTTP/2.0 ", b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1",
    b"GET http://[/v2/x HTTP/1.1", b"POST /v1/projects/proj:lookup HTTP/1.1", b"GET /" + b"a" * 70_000, b"\xff\xfe /",
    b"POST /v1/projects/proj:lookup HTTP/1.0", b"GET //x//y HTTP/1.1", b"get /v2/%00 http/1.1", b"GET /\x00 HTTP/1.1",
]  # fmt: skip
HEADERS = [
    b"Host: x", b"Content-Length: 2", b"Content-Length: 3", b"Content-Length: -1", b"Content-Length: +2",
    b"Content-Length: 99999999999999999999", b"Content-Length: 999999999", b"Content-Length: 0x2", b"Content-Length: ",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity",
    b"Content-Encoding: gzip", b"Content-Type: application/json", b"Content-Type: application/x-protobuf",
    b"no colon", b": no name", b" folded", b"A: " + b"b" * 70_000, b"Expect: 100-continue", b"Connection: close",
    b"A\x00B: \x01", b"\xe9: \xff", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"Origin: null",
    b"\r\n".join(b"X-%d: 1" % n for n in range(150)), b"Content_Length: 5",
]  # fmt: skip
BODIES = [
    b"", b"{}", b"{", b"2\r\n{}\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n{}", b"2\r\n{}xx", b"fffffffffffffff\r\n{}",
    b"1" * 400, b"0\r\nA: b\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 200, b"\x1f\x8b\x08\x00", b"\x00" * 1000,
]  # fmt: skip


def http_request(chance: random.Random) -> bytes:
    """The bytes of a request that is likely to be malformed in its line, its headers or its framing."""
    line = chance.choice(REQUEST_LINES if chance.random() < 0.5 else REQUEST_LINES[13:14])
    headers = [b"Host: x"] if chance.random() < 0.8 else []
    headers += [chance.choice(HEADERS) for _ in range(chance.choice([0, 1, 1, 2, 3]))]
    request = b"\r\n".join([line, *headers, b"", b""]) + chance.choice(BODIES)
    return damage(request, chance) if chance.random() < 0.2 else request
