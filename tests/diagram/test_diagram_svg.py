"""The SVG: well formed, complete, the same every time, safe against hostile names, readable without eyes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from drawn_machines import HARVEST, LOOPS, REVIEW, SINGLE, SUBSCRIBER, machine, pairs, random_machine, state

from fantasm_gcp.core.definition import Machine, State, Transition
from fantasm_gcp.diagram import StateCounts, render_svg
from fantasm_gcp.diagram.theme import SCOPE, STYLE

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title><script>alert(1)</script>\"'&<!--]]>"


def parsed(text: str) -> ElementTree.Element:
    """The root element, if the text is XML at all."""
    return ElementTree.fromstring(text)


def having(root: ElementTree.Element, attribute: str) -> list[ElementTree.Element]:
    """All elements with an attribute, in document order."""
    return [each for each in root.iter() if attribute in each.attrib]


def words(element: ElementTree.Element) -> list[str]:
    """The texts drawn within an element."""
    return [each.text or "" for each in element.iter(f"{SVG}text")]


def box(root: ElementTree.Element, name: str) -> ElementTree.Element:
    """The group of one state."""
    return next(each for each in having(root, "data-state") if each.get("data-state") == name)


def classes(element: ElementTree.Element) -> list[str]:
    """The classes of all rectangles in an element."""
    return [each.get("class", "") for each in element.iter(f"{SVG}rect")]


@pytest.mark.parametrize("seed", range(30))
def test_every_state_and_transition_is_drawn_with_its_words(seed: int) -> None:
    """One group per state and per transition, each with its name written in it."""
    drawn = random_machine(seed)
    root = parsed(render_svg(drawn))
    boxes = having(root, "data-state")
    assert [each.name for each in drawn.states] == [each.get("data-state") for each in boxes]
    assert all(each.get("data-state") in words(each) for each in boxes)
    edges = having(root, "data-event")
    told = [(e.get("data-from"), e.get("data-event"), e.get("data-to")) for e in edges]
    assert sorted(pairs(drawn)) == sorted(told)
    assert all([each.get("data-event")] == words(each) for each in edges)


def test_the_picture_stands_alone() -> None:
    """It declares its namespace, and a size in pixels that agrees with its viewBox."""
    root = parsed(render_svg(REVIEW))
    assert f"{SVG}svg" == root.tag
    assert f"0 0 {root.get('width')} {root.get('height')}" == root.get("viewBox")
    assert float(root.get("width", "0")) > 100


@pytest.mark.parametrize("drawn", [SUBSCRIBER, LOOPS, SINGLE], ids=lambda each: each.name)
def test_pictures_can_share_a_page(drawn: Machine) -> None:
    """No ids to clash, and no style rule that reaches outside the diagram's own class."""
    text = render_svg(drawn)
    assert having(parsed(text), "id") == []
    selectors = re.findall(r"([^{};]+)\{", re.sub(r"@media[^{]*\{", "", STYLE))
    assert all(f".{SCOPE}" in part for selector in selectors for part in selector.split(","))


def test_nothing_outside_is_referred_to() -> None:
    """No script, no event handler, no image, no address but the namespace and the links asked for."""
    text = render_svg(LOOPS, {"A": StateCounts(1, 1, 1)})
    assert re.findall(r"https?://[^\"']*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|<use|@import|url\(|\son\w+=|href", text)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_machine_gives_the_same_text(seed: int) -> None:
    """Two renderings are equal to the last character."""
    assert render_svg(random_machine(seed)) == render_svg(random_machine(seed))


def test_the_text_does_not_depend_on_the_order_of_hashes() -> None:
    """Another interpreter with another hash seed draws the same picture."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from drawn_machines import random_machine\n"
        "from fantasm_gcp.diagram import render_svg\n"
        "sys.stdout.write(''.join(render_svg(random_machine(seed)) for seed in range(8)))\n"
    )
    here = Path(__file__).parent
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, str(here)],
            check=True,
            capture_output=True,
            cwd=here.parents[1],
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert {"".join(render_svg(random_machine(seed)) for seed in range(8)).encode()} == outputs


def test_hostile_text_stays_text() -> None:
    """Names, events, queues, actions, links and nonces cannot break out of where they are written."""
    hostile = Machine(
        HOSTILE,
        (
            State(
                HOSTILE,
                action=HOSTILE,
                initial=True,
                transitions=(Transition(HOSTILE, "B", queue=HOSTILE), Transition(HOSTILE + "2", HOSTILE)),
            ),
            State("B"),
        ),
    )
    root = parsed(render_svg(hostile, link=lambda name: f"/x?{name}", nonce=HOSTILE))
    known = {"svg", "title", "desc", "style", "rect", "g", "circle", "path", "text", "a"}
    assert known == {each.tag.removeprefix(SVG) for each in root.iter()}
    assert [each.get("data-state") for each in having(root, "data-state")] == [HOSTILE, "B"]
    assert f"/x?{HOSTILE}" == having(root, "href")[0].get("href")
    assert having(root, "nonce")[0].get("nonce") == HOSTILE
    assert f"Machine {HOSTILE}" == root.get("aria-label")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ud800", "\ufffe"])
def test_characters_that_xml_cannot_hold_are_replaced(character: str) -> None:
    """A control character or half a surrogate must not make the picture unreadable."""
    root = parsed(render_svg(machine("M", state(f"a{character}b", initial=True))))
    assert having(root, "data-state")[0].get("data-state") == "a\ufffdb"


def test_a_picture_without_links_is_one_image() -> None:
    """Role img, a title, and a description that tells every state and transition."""
    root = parsed(render_svg(SUBSCRIBER))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Machine SendSubscriberEmail"
    assert root.findtext(f"{SVG}desc") == (
        "SendEmail: initial, continuation; on ok to CountEmail. CountEmail: final, fan-in 3 s, transactional."
    )


def test_a_picture_with_links_is_a_group_of_named_links() -> None:
    """Each state is a link that says what it is and what is there."""
    counts = {"SendEmail": StateCounts(in_flight=42, failed=2)}
    root = parsed(render_svg(SUBSCRIBER, counts, lambda name: f"/states/{name}"))
    assert root.get("role") == "group"
    assert [(each.get("href"), each.get("aria-label")) for each in root.iter(f"{SVG}a")] == [
        ("/states/SendEmail", "SendEmail: initial, continuation; 42 in flight, 2 failed"),
        ("/states/CountEmail", "CountEmail: final, fan-in 3 s, transactional"),
    ]


def test_roles_are_drawn_and_not_only_coloured() -> None:
    """Initial has its dot, final a second border, a continuation two cards behind, the marks their words."""
    root = parsed(render_svg(SUBSCRIBER))
    send, count = box(root, "SendEmail"), box(root, "CountEmail")
    assert len(list(root.iter(f"{SVG}circle"))) == 1
    assert classes(send) == ["behind", "behind", "card"]
    assert classes(count) == ["card", "inner"]
    assert words(send) == ["SendEmail", "continuation"]
    assert words(count) == ["CountEmail", "fan-in 3 s", "transactional"]


def test_a_join_is_marked_in_words_and_with_a_glyph_of_its_own() -> None:
    """Nobody takes it for a fan-in or for a plain state; what leads to it on an error is an arrow like others."""
    root = parsed(render_svg(HARVEST, None, lambda name: f"/{name}"))
    report, count = box(root, "Report"), box(parsed(render_svg(SUBSCRIBER)), "CountEmail")
    assert words(report) == ["Report", "join", "transactional"]
    glyphs = [
        [each.get("d") for each in drawn.iter(f"{SVG}path") if each.get("class") == "glyph"]
        for drawn in (report, count)
    ]
    assert [2, 2] == list(map(len, glyphs))
    assert glyphs[0][0] not in glyphs[1]
    assert "Report: final, join, transactional" in [each.get("aria-label") for each in root.iter(f"{SVG}a")]
    assert ["page", "nothing", "ok", "gone"] == [
        each.get("data-event") for each in having(root, "data-event")
    ]


def test_counts_are_badges_with_a_glyph_and_a_word() -> None:
    """Each number that is not zero stands with its word; failures mark the box as well."""
    root = parsed(render_svg(REVIEW, {"FinalState": StateCounts(in_flight=1, failed=2, done=1204)}))
    final, other = box(root, "FinalState"), box(root, "InitialState")
    assert words(final) == ["FinalState", "1 in flight", "2 failed", "1,204 done"]
    assert sum(each.get("class") == "glyph" for each in final.iter(f"{SVG}path")) == 3
    assert final.get("class") == "state failing"
    assert other.get("class") == "state"
    assert words(other) == ["InitialState"]


@pytest.mark.parametrize(
    ("count", "drawn"),
    [(9_999, "9,999"), (10_000, "10k"), (9_999_999, "9,999k"), (10_000_000, "10M"), (12 * 10**9, "12G")],
)
def test_large_counts_are_short_in_the_badge_and_exact_in_words(count: int, drawn: str) -> None:
    """A badge stays small; the label keeps every digit."""
    root = parsed(render_svg(SINGLE, {"Only": StateCounts(done=count)}, lambda name: name))
    assert ["Only", f"{drawn} done"] == words(root)
    assert f"Only: initial, final; {count:,} done" == next(root.iter(f"{SVG}a")).get("aria-label")


def test_counts_of_unknown_states_are_left_out() -> None:
    """A state that was removed from the file may still have instances; it is not drawn."""
    assert render_svg(SINGLE) == render_svg(SINGLE, {"Gone": StateCounts(failed=3)})


def test_a_nonce_goes_onto_the_style_only_when_given() -> None:
    """A page with a strict policy passes its nonce; a file has none."""
    assert '<style nonce="abc">' in render_svg(SINGLE, nonce="abc")
    assert "<style>" in render_svg(SINGLE)


def test_long_names_are_pressed_into_their_box() -> None:
    """Fifty characters keep within the border whatever font is there; short ones are left alone."""
    long = "W" * 50
    root = parsed(render_svg(machine("M", state(long, ("e" * 50, "B"), initial=True), state("B"))))
    card = next(each for each in box(root, long).iter(f"{SVG}rect"))
    text = next(each for each in box(root, long).iter(f"{SVG}text"))
    assert float(text.get("textLength", "inf")) < float(card.get("width", "0"))
    assert next(box(root, "B").iter(f"{SVG}text")).get("textLength") is None


def test_a_transition_tells_its_queue() -> None:
    """The tooltip of an arrow names the queue where the transition has its own."""
    drawn = Machine(
        "M", (State("A", initial=True, transitions=(Transition("ok", "B", queue="slow"),)), State("B"))
    )
    assert "<title>A, on ok, to B, queue slow</title>" in render_svg(drawn)


def test_a_large_machine_is_drawn_completely() -> None:
    """A hundred and twenty states with arrows in all directions lose nothing."""
    drawn = random_machine(1, states=120, transitions=220)
    root = parsed(render_svg(drawn))
    assert len(having(root, "data-state")) == 120
    assert len(having(root, "data-event")) == 220


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("text", "card", 7.0),
        ("muted", "card", 4.5),
        ("event", "canvas", 4.5),
        ("accent", "canvas", 4.5),
        ("in-flight", "in-flight-back", 4.5),
        ("failed", "failed-back", 4.5),
        ("done", "done-back", 4.5),
        ("line", "canvas", 3.0),
        ("border", "canvas", 3.0),
        ("failed-edge", "canvas", 3.0),
    ],
)
def test_colours_have_the_contrast_that_accessibility_asks_for(
    dark: bool, front: str, back: str, least: float
) -> None:
    """Text 4.5:1, lines 3:1, by the fallback colours in the style sheet itself."""
    palettes = re.findall(r"\{(--_canvas[^}]*)\}", STYLE)
    palette = dict(re.findall(r"--fsm-([a-z-]+),(#[0-9a-f]{6})\)", palettes[1 if dark else 0]))
    lighter, darker = sorted((luminance(palette[front]), luminance(palette[back])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least
