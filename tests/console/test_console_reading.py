"""Who can read the pages: structure for assistive technology, contrast, sizes, and the words for numbers."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from console_stage import (
    MAILS,
    ORDERS,
    Stage,
    application,
    definitions,
    instance,
    line,
    read_page,
    record,
    step,
    task,
)
from flask.testing import FlaskClient

from fantasm_gcp import console
from fantasm_gcp.console.wording import (
    GLYPHS,
    queues_of,
    words_of_distance,
    words_of_duration,
    words_of_size,
)
from fantasm_gcp.core.records import InstanceStatus, Outcome

PACKAGE = Path(console.__file__).parent
STEP = f"/instances/a/steps/{step('a', n=1).name}"
PATHS = (
    *("/", "/machines/Orders", "/instances", "/instances/a", "/machines/Nope"),
    *("/failures", "/failures?machine=Orders&state=Pay&fingerprint=f00", STEP, "/instances/a/steps/nope"),
)


@pytest.fixture
def client() -> FlaskClient:
    stage = Stage()
    stage.history.instances_ = [instance("a", "failed")]
    stage.history.tasks_ = [task(step("a", n=1), failed=True, error="E"), task(step("a", n=2))]
    stage.history.records_ = [record(step("a", "Receive", n=0))]
    stage.history.lines_ = [
        line(step("a"), "x" * 1000, stack="S", tags=("t",)),
        *(line(step("a"), level=level, index=1 + n) for n, level in enumerate((5, 10, 20, 30, 40, 50))),
    ]
    return application(stage).test_client()


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_landmarks_and_one_heading(client: FlaskClient, path: str) -> None:
    """One main, one h1, a named navigation, a link that skips to the content, a language and a title."""
    page = read_page(client.get(f"/fantasm{path}").text)

    assert "en" == page.one("html").attributes["lang"]
    assert page.one("head").one("title").text.endswith("· fantasm")
    assert 1 == len(page.all("h1"))
    assert "#" + page.one("main").attributes["id"] == page.all("a")[0].attributes["href"]
    assert all(each.attributes.get("aria-label") for each in page.all("nav"))
    assert [] == [each for each in page.all("a") if not (each.text or each.attributes.get("aria-label"))]


@pytest.mark.parametrize("path", PATHS)
def test_headings_skip_no_level(client: FlaskClient, path: str) -> None:
    """A heading is at most one level below the one before it."""
    page = read_page(client.get(f"/fantasm{path}").text)

    levels = [int(each.tag[1]) for each in page.walk() if re.fullmatch("h[1-6]", each.tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", PATHS)
def test_tables_have_captions_and_scopes(client: FlaskClient, path: str) -> None:
    """Every table has a caption, every heading cell a scope, every row as many cells as there are columns."""
    for table in read_page(client.get(f"/fantasm{path}").text).all("table"):
        assert table.one("caption").text
        assert {"col", "row"} == {each.attributes["scope"] for each in table.all("th")}
        columns = len(table.one("thead").all("th"))
        assert {columns} == {len(row) for row in table.rows()}


@pytest.mark.parametrize("path", PATHS)
def test_what_scrolls_can_be_reached_by_keyboard(client: FlaskClient, path: str) -> None:
    """Boxes that scroll take the focus and have a name."""
    page = read_page(client.get(f"/fantasm{path}").text)

    for box in [each for each in page.walk() if "scroll" in each.attributes.get("class", "").split()]:
        assert ("0", "region") == (box.attributes["tabindex"], box.attributes["role"])
        assert box.attributes["aria-label"]
    assert all("0" == each.attributes["tabindex"] for each in page.all("pre"))


@pytest.mark.parametrize("path", PATHS)
def test_glyphs_are_hidden_and_have_words_beside_them(client: FlaskClient, path: str) -> None:
    """No status is told by its colour or its picture alone."""
    page = read_page(client.get(f"/fantasm{path}").text)

    assert all("true" == each.attributes["aria-hidden"] for each in page.all("svg", class_="icon"))
    pills = [
        each for each in page.walk() if each.attributes.get("class", "").startswith(("status ", "tally "))
    ]
    assert all(each.text for each in pills)


def test_every_status_has_its_glyph_and_they_differ() -> None:
    """A status or outcome that is added to the engine needs a glyph here."""
    assert {*InstanceStatus, *Outcome, "queued", "parked", "waiting", "collecting", "retrying"} == set(GLYPHS)
    assert len(GLYPHS) == len(set(GLYPHS.values()))


def test_the_assets_are_small_and_load_nothing() -> None:
    """One style sheet, one script, nothing imported or fetched from elsewhere."""
    assets = {each.name: each.read_text() for each in (PACKAGE / "static").iterdir()}

    assert {"console.css", "console.js"} == set(assets)
    assert len(assets["console.js"].encode()) <= 3400
    assert len(assets["console.css"].encode()) <= 12_000
    for text in assets.values():
        assert not re.search(r"https?:|@import|url\(|\bimport\b|innerHTML|eval\(", text)


def test_the_script_and_the_sheet_are_served(client: FlaskClient) -> None:
    """What the pages refer to is there."""
    page = read_page(client.get("/fantasm/").text)

    for address, kind in (
        (page.one("link", rel="stylesheet").attributes["href"], "text/css"),
        (page.one("script").attributes["src"], "text/javascript"),
    ):
        with client.get(address) as answer:
            assert (200, kind) == (answer.status_code, answer.mimetype)


def palettes() -> dict[str, dict[str, str]]:
    """The colours of the sheet, light and dark."""
    light, dark = re.findall(r":root \{(.*?)\}", (PACKAGE / "static/console.css").read_text(), re.DOTALL)[:2]
    colours = r"--([a-z-]+): (#[0-9a-f]{6});"
    return {"light": dict(re.findall(colours, light)), "dark": dict(re.findall(colours, dark))}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast(theme: str) -> None:
    """WCAG AA: 4.5 to 1 for text on everything it stands on, 3 to 1 for the edges of controls."""
    colours = palettes()[theme]
    grounds = ("page", "panel", "raised")
    pairs = [(text, ground) for text in ("text", "muted", "accent", "failed") for ground in grounds]
    pairs += [(each, f"{each}-back") for each in ("running", "failed", "completed", "waiting")]
    pairs += [("on-accent", "accent"), ("waiting", "panel"), ("waiting", "raised")]

    assert {} == {
        pair: ratio for pair in pairs if (ratio := contrast(*(colours[each] for each in pair))) < 4.5
    }
    edges = [(edge, ground) for edge in ("control", "failed-edge", "accent") for ground in grounds[:2]]
    assert {} == {pair: ratio for pair in edges if (ratio := contrast(*(colours[each] for each in pair))) < 3}


def test_both_themes_set_the_same_colours() -> None:
    """A colour that only one theme sets would be unreadable in the other."""
    themes = palettes()

    assert set(themes["light"]) == set(themes["dark"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", "2000"), ("/instances/a", "15000"), ("/instances/b", "2000"), ("/machines/Nope", "0")],
)
def test_a_page_says_how_often_it_may_be_asked_for(path: str, expected: str) -> None:
    """What moves is refreshed often, an instance that has ended seldom, an error never."""
    stage = Stage(definitions=definitions(ORDERS, MAILS))
    stage.history.instances_ = [instance("a", "completed"), instance("b")]
    page = read_page(application(stage).test_client().get(f"/fantasm{path}").text)

    assert expected == page.one("body").attributes["data-refresh"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0 ms"),
        (0, "0 ms"),
        (0.0859, "85 ms"),
        (0.9999, "999 ms"),
        (1, "1 s"),
        (1.249, "1.24 s"),
        (59.999, "59.99 s"),
        (60, "1 min"),
        (61.9, "1 min 1 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h"),
        (7260, "2 h 1 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d"),
        (90_000_000, "1,041 d 16 h"),
    ],
)
def test_durations_are_rounded_down_to_two_units(seconds: float, expected: str) -> None:
    """A duration never shows a unit it has not reached."""
    assert expected == words_of_duration(seconds)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (0, "just now"),
        (0.99, "just now"),
        (-0.99, "just now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (86399, "23 h ago"),
        (86400 * 1234, "1,234 d ago"),
        (-1, "in 1 s"),
        (-61, "in 1 min"),
    ],
)
def test_distances_have_one_unit(age: float, expected: str) -> None:
    """A moment is so long ago, or to come in so long."""
    assert expected == words_of_distance(1000.0 - age, 1000.0)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, "1 byte"), (999, "999 bytes"), (1000, "1.0 KB"), (999_999, "1,000.0 KB"), (1_000_000, "1.0 MB")],
)
def test_sizes_are_in_thousands(count: int, expected: str) -> None:
    """Bytes, kilobytes of a thousand bytes, megabytes."""
    assert expected == words_of_size(count)


def test_queues_are_told_once() -> None:
    """The machine's own queue, then those of its transitions."""
    assert ("default", "slow") == queues_of(ORDERS)
