"""Nothing overlaps, whatever the machine: checked on the rectangles and on points along the lines."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest
from drawn_machines import LOOPS, REVIEW, SINGLE, SUBSCRIBER, random_machine

from fantasm_gcp.diagram.geometry import Layout, Link, Node, Point, Rect, Route, Size
from fantasm_gcp.diagram.layout import MARGIN, arrange, place
from fantasm_gcp.diagram.measure import text_width
from fantasm_gcp.diagram.routing import PORT_GAP
from fantasm_gcp.diagram.scene import FITTING_WIDTH, stage

SEEDS = range(20)


def random_graph(seed: int) -> tuple[list[Node], list[Link]]:
    """Boxes of any size with any links: cycles, parallels, hubs, several components."""
    chance = random.Random(seed)
    nodes = [
        Node(
            Size(chance.uniform(10, 300), chance.uniform(10, 120)),
            tuple(label(chance) for _ in range(chance.choice([0, 0, 0, 1, 3]))),
        )
        for _ in range(chance.randint(2, 25))
    ]
    links = []
    for _ in range(chance.randint(0, 50)):
        source, target = chance.sample(range(len(nodes)), 2)
        links.append(Link(source, target, label(chance) if chance.random() < 0.9 else None))
    return nodes, links


def label(chance: random.Random) -> Size:
    """Room for an event's name."""
    return Size(chance.choice([8.0, 30.0, 250.0]), 17.0)


def along(route: Route) -> Iterator[Point]:
    """Points on the line, close together."""
    for start, strokes in route.pieces:
        at = start
        for stroke in strokes:
            first, second = stroke.controls or (at, stroke.end)
            for step in range(17):
                t = step / 16
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                yield Point(
                    a * at.x + b * first.x + c * second.x + d * stroke.end.x,
                    a * at.y + b * first.y + c * second.y + d * stroke.end.y,
                )
            at = stroke.end


def inside(point: Point, rect: Rect, air: float = 0.05) -> bool:
    """Whether a point lies truly within a rectangle."""
    return rect.x + air < point.x < rect.right - air and rect.y + air < point.y < rect.bottom - air


def on_border(point: Point, rect: Rect) -> bool:
    """Whether a point lies on the border of a rectangle, within rounding."""
    near = Rect(rect.x - 0.01, rect.y - 0.01, rect.width + 0.02, rect.height + 0.02)
    return inside(point, near, 0) and not inside(point, rect, 0.01)


def labels(layout: Layout) -> list[Rect]:
    """The rectangles of all labels."""
    routes = [*layout.routes, *(loop for loops in layout.loops for loop in loops)]
    return [route.label for route in routes if route.label is not None]


def laid_out(seed: int, horizontal: bool) -> tuple[Layout, list[Link]]:
    """A random graph in one direction."""
    nodes, links = random_graph(seed)
    return place(arrange(nodes, links), horizontal=horizontal), links


both_directions = pytest.mark.parametrize("horizontal", [True, False], ids=["sideways", "downwards"])


@both_directions
@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_and_labels_keep_apart(seed: int, horizontal: bool) -> None:
    """No two rectangles, of nodes or of labels, share any area."""
    layout, _ = laid_out(seed, horizontal)
    overlapping = [
        (one, other)
        for one, other in combinations([*layout.nodes, *labels(layout)], 2)
        if one.overlaps(other)
    ]
    assert overlapping == []


@both_directions
@pytest.mark.parametrize("seed", SEEDS)
def test_lines_cross_no_node_and_no_label(seed: int, horizontal: bool) -> None:
    """No point of any line lies in a node or under a label, its own included."""
    layout, _ = laid_out(seed, horizontal)
    obstacles = [*layout.nodes, *labels(layout)]
    routes = [*layout.routes, *(loop for loops in layout.loops for loop in loops)]
    hits = [
        (point, box) for route in routes for point in along(route) for box in obstacles if inside(point, box)
    ]
    assert hits == []


@both_directions
@pytest.mark.parametrize("seed", SEEDS)
def test_an_arrow_joins_the_borders_of_its_nodes(seed: int, horizontal: bool) -> None:
    """Every line starts on its source's border and its tip touches its target's."""
    layout, links = laid_out(seed, horizontal)
    for link, route in zip(links, layout.routes, strict=True):
        assert on_border(route.pieces[0][0], layout.nodes[link.source])
        assert on_border(route.tip, layout.nodes[link.target])
        assert route.base == route.pieces[-1][1][-1].end


@both_directions
@pytest.mark.parametrize("seed", SEEDS)
def test_a_self_loop_stays_at_its_node(seed: int, horizontal: bool) -> None:
    """A loop starts and ends on its node's border, and there are as many as asked for."""
    nodes, links = random_graph(seed)
    layout = place(arrange(nodes, links), horizontal=horizontal)
    for node, rect, loops in zip(nodes, layout.nodes, layout.loops, strict=True):
        assert len(node.loops) == len(loops)
        assert all(on_border(loop.pieces[0][0], rect) and on_border(loop.tip, rect) for loop in loops)


@both_directions
@pytest.mark.parametrize("seed", SEEDS)
def test_the_drawing_holds_everything_within_its_margin(seed: int, horizontal: bool) -> None:
    """The stated width and height are enough, and the first coordinate is the margin."""
    layout, _ = laid_out(seed, horizontal)
    boxes = [*layout.nodes, *labels(layout)]
    points = [point for route in layout.routes for point in along(route)]
    air = MARGIN - 0.01
    assert all(air <= box.x and box.right <= layout.width - air for box in boxes)
    assert all(air <= box.y and box.bottom <= layout.height - air for box in boxes)
    assert all(air <= p.x <= layout.width - air and air <= p.y <= layout.height - air for p in points)


@both_directions
@pytest.mark.parametrize("seed", SEEDS)
def test_a_box_is_never_smaller_than_asked(seed: int, horizontal: bool) -> None:
    """Boxes may grow for their arrows, but what stands in them always fits."""
    nodes, links = random_graph(seed)
    layout = place(arrange(nodes, links), horizontal=horizontal)
    for node, rect in zip(nodes, layout.nodes, strict=True):
        assert rect.width >= node.size.width
        assert rect.height >= node.size.height


@both_directions
def test_arrows_at_a_hub_end_apart(horizontal: bool) -> None:
    """Twenty arrows into one node have tips that can be told apart."""
    size = Size(60, 40)
    links = [Link(number, 20, Size(20, 17)) for number in range(20)]
    layout = place(arrange([Node(size)] * 21, links), horizontal=horizontal)
    tips = sorted(route.tip.y if horizontal else route.tip.x for route in layout.routes)
    assert all(second - first >= PORT_GAP - 0.01 for first, second in pairwise(tips))


@both_directions
def test_ranks_follow_the_arrows(horizontal: bool) -> None:
    """In a graph without cycles every arrow points onwards."""
    size = Size(60, 40)
    links = [Link(a, b, Size(20, 17)) for a in range(8) for b in range(a + 1, 8, 2)]
    layout = place(arrange([Node(size)] * 8, links), horizontal=horizontal)
    for link in links:
        source, target = layout.nodes[link.source], layout.nodes[link.target]
        assert (source.right < target.x) if horizontal else (source.bottom < target.y)


def test_a_chain_is_straight() -> None:
    """Boxes of different heights in a row share one middle line, and nothing between them bends."""
    nodes = [Node(Size(60, height)) for height in (14, 40, 90, 55)]
    links = [Link(number, number + 1, Size(20, 17)) for number in range(3)]
    layout = place(arrange(nodes, links), horizontal=True)
    assert len({round(rect.center.y, 6) for rect in layout.nodes}) == 1
    assert all(
        stroke.controls is None for r in layout.routes for _, strokes in r.pieces for stroke in strokes
    )


def test_a_tree_is_drawn_without_crossings() -> None:
    """Children stand in the order of their parents: no two lines of a tree meet."""
    links = [Link((number - 1) // 2, number) for number in range(1, 15)]
    layout = place(arrange([Node(Size(30, 20))] * 15, links), horizontal=True)
    for level in (range(1, 3), range(3, 7), range(7, 15)):
        tops = [layout.nodes[node].y for node in level]
        parents = [layout.nodes[(node - 1) // 2].y for node in level]
        in_order = [parent for _, parent in sorted(zip(tops, parents, strict=True))]
        assert in_order == sorted(parents)


@both_directions
def test_a_label_stands_near_the_state_that_emits_the_event(horizontal: bool) -> None:
    """On an arrow over many ranks, onwards or back, the event is read where it comes from."""
    word = Size(20, 17)
    links = [*(Link(number, number + 1, word) for number in range(4)), Link(0, 4, word), Link(4, 0, word)]
    layout = place(arrange([Node(Size(60, 40))] * 5, links), horizontal=horizontal)
    for link, route in zip(links[-2:], layout.routes[-2:], strict=True):
        assert route.label is not None
        ends = [layout.nodes[end].center for end in (link.source, link.target)]
        middle = route.label.center
        near, far = [abs(end.x - middle.x) + abs(end.y - middle.y) for end in ends]
        assert near < far


@pytest.mark.parametrize("seed", range(8))
def test_avoidable_crossings_are_avoided(seed: int) -> None:
    """A grid, its arrows told in any order, comes out without one line crossing another."""
    steps = [
        (row, column, row + down, column + 1 - down)
        for row in range(4)
        for column in range(4)
        for down in (0, 1)
    ]
    links = [Link(a * 4 + b, c * 4 + d) for a, b, c, d in steps if max(c, d) < 4]
    random.Random(seed).shuffle(links)
    arrangement = arrange([Node(Size(30, 20))] * 16, links)
    graph = arrangement.graph
    at = {vertex: position for row in arrangement.ranks for position, vertex in enumerate(row)}
    segments = [(graph.rank[a], at[a], at[b]) for chain in graph.chains for a, b in pairwise(chain)]
    crossed = [
        (one, other)
        for one, other in combinations(segments, 2)
        if one[0] == other[0] and (one[1] - other[1]) * (one[2] - other[2]) < 0
    ]
    assert crossed == []


@both_directions
def test_a_node_stands_in_the_middle_of_its_followers(horizontal: bool) -> None:
    """A fan of equal boxes is symmetric about the box it comes from and the one it leads to."""
    links = [Link(0, number) for number in range(1, 7)] + [Link(number, 7) for number in range(1, 7)]
    layout = place(arrange([Node(Size(40, 30))] * 8, links), horizontal=horizontal)
    lines = [rect.center.y if horizontal else rect.center.x for rect in layout.nodes]
    assert lines[0] == pytest.approx(sum(lines[1:7]) / 6)
    assert lines[7] == pytest.approx(sum(lines[1:7]) / 6)


def test_two_unlinked_nodes_are_both_placed() -> None:
    """Without any link there is still a drawing."""
    layout = place(arrange([Node(Size(30, 20)), Node(Size(30, 20))], []), horizontal=True)
    assert not layout.nodes[0].overlaps(layout.nodes[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_machine_has_a_box_per_state_and_an_arrow_per_transition(seed: int) -> None:
    """The scene keeps the order of states and loses no transition."""
    drawn = random_machine(seed)
    scene = stage(drawn, {})
    assert [each.name for each in drawn.states] == [card.state.name for card, _ in scene.boxes]
    expected = sorted((each.name, t.event, t.to) for each in drawn.states for t in each.transitions)
    assert expected == sorted((a.source.name, a.transition.event, a.transition.to) for a in scene.arrows)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_arrow_of_a_machine_joins_the_states_it_names(seed: int) -> None:
    """The picture tells the truth: from the border of the source to the border of the target."""
    scene = stage(random_machine(seed), {})
    boxes = {card.state.name: rect for card, rect in scene.boxes}
    for arrow in scene.arrows:
        assert on_border(arrow.route.pieces[0][0], boxes[arrow.source.name])
        assert on_border(arrow.route.tip, boxes[arrow.transition.to])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_machine_wider_than_fits_is_drawn_downwards(seed: int) -> None:
    """Left to right only where that stays within the width that fits a page."""
    layout = stage(random_machine(seed), {}).layout
    assert not layout.horizontal or layout.width <= FITTING_WIDTH


@pytest.mark.parametrize("drawn", [SUBSCRIBER, REVIEW, LOOPS, SINGLE], ids=lambda each: each.name)
def test_small_machines_run_left_to_right(drawn) -> None:  # type: ignore[no-untyped-def]
    """What fits a page is drawn in reading direction."""
    assert stage(drawn, {}).layout.horizontal


def test_the_initial_mark_leads_to_the_initial_state() -> None:
    """The dot's arrow ends at the initial state's border, wherever in the file that state stands."""
    drawn = random_machine(7)
    scene = stage(drawn, {})
    rect = next(rect for card, rect in scene.boxes if card.state.initial)
    (entry,) = scene.entries
    assert on_border(entry.pieces[0][0], scene.start)
    assert on_border(entry.tip, rect)


def test_text_is_measured_by_the_table() -> None:
    """Known widths: 1000 units of Helvetica at 10 pixels; bold is wider; the empty text has none."""
    assert text_width("", 14) == 0
    assert pytest.approx(text_width("a", 10)) == 5.56
    assert pytest.approx(text_width("W", 10)) == 9.44
    assert text_width("State", 12) < text_width("State", 12, bold=True)


def test_unknown_characters_count_as_the_widest() -> None:
    """A character outside the tables must not make a box too small."""
    assert text_width("\u4e16", 10) >= max(text_width(each, 10) for each in map(chr, range(32, 127)))
