"""The pages of the local Datastore: what they show of any entity, and that they only read."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore
from google.cloud.datastore.helpers import GeoPoint
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from werkzeug.test import Client

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.dev.front import build_datastore_front, build_tasks_front
from fantasm_gcp.local.pages import create_datastore_pages
from fantasm_gcp.local.pages.entity_reading import MOST_NAMESPACES
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.configuration.tokens import Issuer

HOSTILE = "\"'><script>alert(1)</script>&`\\ \u202e\u200b\x01\n"
LINK = re.compile(r'(?:href|action)="([^"]*)"')


@pytest.fixture
def stored() -> Iterator[DatastoreServer]:
    server = DatastoreServer(indexes=())
    yield server
    server.close()


@pytest.fixture
def web(stored: DatastoreServer) -> FlaskClient:
    app = Flask("pages", static_folder=None)
    app.testing = True  # what goes wrong inside is raised, and not answered with 500
    app.register_blueprint(create_datastore_pages(stored), url_prefix="/datastore")
    return app.test_client()


def client_of(server: DatastoreServer, **place: str) -> datastore.Client:
    client = datastore.Client(
        **{"project": "mine", **place}, credentials=AnonymousCredentials(), _use_grpc=True
    )
    transport = DatastoreGrpcTransport(channel=LocalChannel(server.service))
    client._datastore_api_internal = DatastoreClient(transport=transport)
    return client


def put(client: datastore.Client, *path: Any, plain: tuple[str, ...] = (), **properties: Any) -> None:
    entity = datastore.Entity(client.key(*path), exclude_from_indexes=plain)
    entity.update(properties)
    client.put(entity)


def query(web: FlaskClient, gql: str, **more: Any) -> Any:
    return web.get("/datastore/query?" + urlencode({"project": "mine", "gql": gql, **more}))


def links(html: str, word: str) -> list[str]:
    return [unescape(each) for each in LINK.findall(html) if f"/{word}?" in each]


def following(html: str) -> str | None:
    found = re.search(r'href="([^"]*)" rel="next"', html)
    return unescape(found[1]) if found else None


def keys(html: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'<th scope="row"><a[^>]*><bdi>(.*?)</bdi>', html, re.S)]


# Kinds.


def test_an_empty_datastore_says_how_it_gets_entities(web: FlaskClient) -> None:
    """Nobody has to guess whether it is broken."""
    answer = web.get("/datastore/")

    assert 200 == answer.status_code
    assert "The Datastore is empty." in answer.text


def test_kinds_are_listed_with_their_counts(stored: DatastoreServer, web: FlaskClient) -> None:
    """Each leads to its entities, whatever it is called: a word of GQL, too."""
    client = client_of(stored)
    for number in (1, 2):
        put(client, "Order", number)
    put(client, HOSTILE, 1)

    html = web.get("/datastore/").text

    assert re.search(r'<bdi>Order</bdi></a></th>\s*<td class="number">2</td>', html)
    for link in links(html, "query")[:2]:
        assert 200 == web.get(link).status_code
    assert ["Order 1", "Order 2"] == keys(query(web, "SELECT * FROM `Order`").text)


def test_databases_and_namespaces_are_there_to_choose(stored: DatastoreServer, web: FlaskClient) -> None:
    """All of every project; a database whose default namespace is empty shows the one that is not."""
    put(client_of(stored), "Here", 1)
    put(client_of(stored, project="other", database="second", namespace="tenant"), "There", 1)

    first = web.get("/datastore/").text
    second = web.get("/datastore/?place=other/second&namespace=").text

    assert '<option value="mine/" selected>mine, default database</option>' in first
    assert '<option value="other/second">other, second</option>' in first
    assert "<bdi>Here</bdi>" in first
    assert "<bdi>There</bdi>" not in first
    assert '<option value="tenant" selected>tenant</option>' in second
    assert "<bdi>There</bdi>" in second
    (link,) = [each for each in links(second, "query") if "gql=" in each]
    (entity,) = links(web.get(link).text, "entity")
    assert "There 1" in web.get(entity).text
    assert "There 1" in web.get(re.sub("(project|database)=[^&]*&", "", entity)).text


def test_a_namespace_that_is_not_among_the_first_is_shown(stored: DatastoreServer, web: FlaskClient) -> None:
    """Its own kinds, and not those of another; that there are more than are listed is said."""
    client = client_of(stored)
    names = [f"tenant{number:03}" for number in range(MOST_NAMESPACES + 1)]
    client.put_multi([datastore.Entity(client.key(f"Of-{name}", 1, namespace=name)) for name in names])

    html = web.get(f"/datastore/?project=mine&namespace={names[-1]}").text

    assert f'<option value="{names[-1]}" selected>{names[-1]}</option>' in html
    assert [f"Of-{names[-1]}"] == keys(html)
    assert "write them into the address" in html


def test_many_kinds_are_listed_page_by_page(stored: DatastoreServer, web: FlaskClient) -> None:
    """Each of them once."""
    client = client_of(stored)
    entities = [datastore.Entity(client.key(f"Kind{number:02}", 1)) for number in range(70)]
    client.put_multi(entities)

    first = web.get("/datastore/").text
    rest = following(first)
    assert rest is not None
    second = web.get(rest).text

    assert [f"Kind{number:02}" for number in range(70)] == keys(first) + keys(second)
    assert following(second) is None


# Queries.


def test_results_come_page_by_page_and_end_at_the_limit(stored: DatastoreServer, web: FlaskClient) -> None:
    """In the order of the query, each once, with its own offset and limit and no more."""
    client = client_of(stored)
    entities = []
    for number in range(120):
        entities.append(datastore.Entity(client.key("Item", number + 1)))
        entities[-1]["rank"] = -number
    client.put_multi(entities)
    found, pages, at = [], [], query(web, "SELECT * FROM Item ORDER BY rank LIMIT 105 OFFSET 3").text
    while True:
        found += keys(at)
        pages.append(len(keys(at)))
        rest = following(at)
        if rest is None:
            break
        at = web.get(rest).text

    assert [f"Item {number}" for number in range(117, 12, -1)] == found
    assert [50, 50, 5] == pages


def test_numbers_are_shown_of_an_aggregation(stored: DatastoreServer, web: FlaskClient) -> None:
    """In both ways of writing one."""
    client = client_of(stored)
    for number in (1, 2, 4):
        put(client, "Item", number, rank=number)

    for gql in (
        "SELECT COUNT(*) AS many, SUM(rank) AS total FROM Item",
        " aggregate count(*) as many, sum(rank) as total over (SELECT * FROM Item)",
    ):
        html = query(web, gql).text
        assert '<dt>many</dt><dd class="time">3</dd>' in html
        assert '<dt>total</dt><dd class="time">7</dd>' in html


def test_what_is_no_entity_leads_to_none(stored: DatastoreServer, web: FlaskClient) -> None:
    """A kind, a namespace or a property that a query of metadata finds can only be read."""
    put(client_of(stored), "Item", 1, rank=1)

    for kind, shown in (("__kind__", "__kind__ 'Item'"), ("__namespace__", "__namespace__ 1")):
        html = query(web, f"SELECT * FROM {kind}").text
        assert shown in unescape(html)
        assert [] == links(html, "entity")


def test_a_refused_query_can_be_mended_where_it_stands(stored: DatastoreServer, web: FlaskClient) -> None:
    """The page has the query and the reason; of a missing index, what to do with it."""
    put(client_of(stored), "Item", 1, rank=1)

    wrong = query(web, "SELECT * FROM Item WHERE <b>")
    lacking = query(web, "SELECT * FROM Item WHERE a = 1 ORDER BY rank")

    assert 400 == wrong.status_code
    assert "SELECT * FROM Item WHERE &lt;b&gt;</textarea>" in wrong.text
    assert "line 1, column 26" in wrong.text
    assert "--any-query" not in wrong.text
    assert "- name: rank" in lacking.text
    assert "--any-query" in lacking.text


@pytest.mark.parametrize(
    "path",
    [
        "query?seen=-1",
        "query?gql=SELECT+*&after=%21",
        "?after=%21",
        "entity",
        "entity?key=%21",
        "entity?key=AAAA",
    ],
)
def test_a_wrong_address_is_refused(web: FlaskClient, path: str) -> None:
    """Never a traceback."""
    answer = web.get(f"/datastore/{path}")

    assert 400 == answer.status_code
    assert "To the first page" in answer.text


def test_a_name_that_the_api_refuses_is_refused_here(web: FlaskClient) -> None:
    """As a page with the words of the API."""
    answer = web.get("/datastore/?project=mine&namespace=a%20b")

    assert 400 == answer.status_code
    assert "namespace" in answer.text


# Entities.


def test_an_entity_is_shown_with_every_type_of_value(stored: DatastoreServer, web: FlaskClient) -> None:
    """Type, index and value of each; a key leads to its entity."""
    client = client_of(stored)
    inner = datastore.Entity()
    inner.update(city="Brno", lines=[1, None])
    put(client, "Customer", "ada")
    put(
        client,
        *("Order", 5),
        plain=("note",),
        text="plain",
        note="long",
        whole=2**60,
        part=float("nan"),
        flag=True,
        nothing=None,
        moment=datetime.datetime(2026, 1, 2, 3, 4, 5, 678900, datetime.UTC),
        blob=b"\x00\xff",
        where=GeoPoint(50.5, -14.25),
        several=["a", 2],
        address=inner,
        owner=client.key("Customer", "ada"),
    )

    (link,) = links(query(web, "SELECT * FROM `Order`").text, "entity")
    html = web.get(link).text

    shown = re.findall(
        r'<bdi class="name">(\w+)</bdi></th>\s*<td>(.*?)</td>\s*<td>([\w ]+)</td>\s*<td>(\w+)</td>',
        html,
        re.S,
    )
    plain = {name: (kind, index, unescape(re.sub(r"<.*?>", "", value))) for name, value, kind, index in shown}
    assert {
        "text": ("string", "yes", "plain"),
        "note": ("string", "no", "long"),
        "whole": ("integer", "yes", str(2**60)),
        "part": ("double", "yes", "nan"),
        "flag": ("boolean", "yes", "true"),
        "nothing": ("null", "yes", "null"),
        "moment": ("timestamp", "yes", "2026-01-02T03:04:05.678900Z"),
        "blob": ("blob", "yes", "00 ff"),
        "where": ("geo point", "yes", "50.5, -14.25"),
        "several": ("array", "yes", '[\n  "a",\n  2\n]'),
        "address": ("entity", "yes", '{\n  "city": "Brno",\n  "lines": [\n    1,\n    null\n  ]\n}'),
        "owner": ("key", "yes", "Customer 'ada'"),
    } == plain
    assert "Customer &#39;ada&#39;</bdi></h1>" in web.get(links(html, "entity")[0]).text


def test_a_value_is_shown_from_its_first_character(stored: DatastoreServer, web: FlaskClient) -> None:
    """HTML drops a newline that begins what it leaves as it is; what can be scrolled takes the keyboard."""
    put(client_of(stored), "Item", 1, begun="\nsecond", short="one")

    (link,) = links(query(web, "SELECT * FROM Item").text, "entity")
    html = web.get(link).text

    assert '<pre class="value" tabindex="0" aria-label="Value of begun">\n\nsecond</pre>' in html
    assert '<pre class="value">one</pre>' in html


def test_an_entity_leads_to_those_above_and_below_it(stored: DatastoreServer, web: FlaskClient) -> None:
    """Whatever its ancestors are called, the query for its descendants finds them."""
    client = client_of(stored)
    put(client, HOSTILE, HOSTILE)
    put(client, HOSTILE, HOSTILE, "Line", 1)

    html = query(web, "SELECT * FROM Line").text
    (child,) = links(html, "entity")
    (parent,) = links(web.get(child).text, "entity")
    below = next(each for each in links(web.get(parent).text, "query") if "ANCESTOR" in each)

    assert 2 == len(keys(web.get(below).text))


def test_an_entity_that_is_gone_is_not_found(stored: DatastoreServer, web: FlaskClient) -> None:
    """The page says so, and names it."""
    client = client_of(stored)
    put(client, "Item", 1)
    (link,) = links(query(web, "SELECT * FROM Item").text, "entity")
    client.delete(client.key("Item", 1))

    answer = web.get(link)

    assert 404 == answer.status_code
    assert "There is no entity Item 1 (any more)." in answer.text


def test_no_entity_becomes_markup_or_hides_itself(stored: DatastoreServer, web: FlaskClient) -> None:
    """Kinds, names, properties and values with HTML, controls and changes of direction in them."""
    client = client_of(stored)
    inner = datastore.Entity()
    inner[HOSTILE] = HOSTILE
    put(client, HOSTILE, HOSTILE, **{HOSTILE: HOSTILE, "inner": inner, "many": [HOSTILE]})
    listed = web.get("/datastore/").text
    found = web.get(next(each for each in links(listed, "query") if "gql=" in each)).text
    pages = [listed, found, web.get(links(found, "entity")[0]).text]

    for html in pages:
        assert "<script>alert" not in html
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\u200b\u202e]", re.sub(r"<textarea.*?</textarea>", "", html, flags=re.S)
        )
        assert "\\u202e" in html


def test_large_entities_are_shown_in_part(stored: DatastoreServer, web: FlaskClient) -> None:
    """A megabyte of text says how long it is, its row in the table is a line, and few of them are a page."""
    put(client_of(stored), "Item", 1, plain=("text",), text="x" * 1_000_000)

    html = query(web, "SELECT * FROM Item").text
    entity = web.get(links(html, "entity")[0]).text

    client = client_of(stored)
    for number in range(2, 6):
        put(client, "Item", number, plain=("text",), text="x" * 1_000_000)
    rest = following(first := query(web, "SELECT * FROM Item").text)
    assert rest is not None
    assert [f"Item {number}" for number in range(1, 6)] == keys(first) + keys(web.get(rest).text)
    assert 10_000 > len(html)
    assert "(the first 65,536 of 1,000,000 characters)" in entity


# Who may look, and what may be done.


def test_the_pages_only_read(web: FlaskClient) -> None:
    """No form posts, and no path takes a POST."""
    for path in ("/datastore/", "/datastore/query", "/datastore/entity"):
        assert 'method="post"' not in web.get(path).text
        assert 405 == web.post(path).status_code


def test_a_name_that_is_not_this_machines_is_not_answered(web: FlaskClient) -> None:
    """Somebody's site whose name leads here reads nothing."""
    for path in ("", "query", "entity", "assets/tasks.css"):
        assert 403 == web.get(f"/datastore/{path}", headers={"Host": "evil.example"}).status_code


def test_pages_are_fit_for_everybody(stored: DatastoreServer, web: FlaskClient) -> None:
    """A language, one heading of the first rank, a label for each control, a name for each table."""
    put(client_of(stored), "Item", 1, rank=1)
    found = query(web, "SELECT * FROM Item").text

    for html in (web.get("/datastore/").text, found, web.get(links(found, "entity")[0]).text):
        assert '<html lang="en">' in html
        assert 1 == html.count("<h1")
        assert html.count("<select") == len(re.findall(r"<label>[^<]+<select", html))
        assert html.count("<textarea") == html.count('<label for="gql">')
        assert html.count("<table>") == html.count("<caption")


@pytest.fixture
def fronts(stored: DatastoreServer) -> Iterator[list[Any]]:
    tasks = TasksServer()
    yield [build_datastore_front(stored), build_tasks_front(tasks, Issuer(), datastore=stored)]
    tasks.close()


def test_the_pages_are_at_both_ports(fronts: list[Any], stored: DatastoreServer) -> None:
    """Beside the API; at the port of Cloud Tasks each of the pages leads to the other's."""
    put(client_of(stored), "Item", 1)
    alone, beside = map(Client, fronts)

    assert "<bdi>Item</bdi>" in alone.get("/datastore/").text
    assert "Queues" not in alone.get("/datastore/").text
    assert "Ok\n" == alone.get("/").text
    assert '<a href="/">Queues</a>' in beside.get("/datastore/").text
    assert '<a href="/datastore/">Datastore</a>' in beside.get("/").text
