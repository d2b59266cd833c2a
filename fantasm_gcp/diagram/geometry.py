"""The values that go into a layout and come out of it. All lengths are in pixels, y grows downwards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """How much room something asks for."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the drawing."""

    x: float
    y: float

    def moved(self, dx: float, dy: float) -> Point:
        """The same point elsewhere."""
        return Point(self.x + dx, self.y + dy)


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle by its top left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def center(self) -> Point:
        return Point(self.x + self.width / 2, self.y + self.height / 2)

    def overlaps(self, other: Rect) -> bool:
        """Whether the two share more than an edge."""
        return (
            self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom
        )

    def moved(self, dx: float, dy: float) -> Rect:
        """The same rectangle elsewhere."""
        return Rect(self.x + dx, self.y + dy, self.width, self.height)


@dataclass(frozen=True, slots=True)
class Node:
    """A box to place. ``loops`` are the sizes of the labels of its self loops."""

    size: Size
    loops: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow to route between two different nodes, by their indices; ``label`` is None for none."""

    source: int
    target: int
    label: Size | None = None


@dataclass(frozen=True, slots=True)
class Stroke:
    """A piece of a line, from the end of the piece before: straight, or a curve with two controls."""

    end: Point
    controls: tuple[Point, Point] | None = None

    def moved(self, dx: float, dy: float) -> Stroke:
        """The same stroke elsewhere."""
        if self.controls is None:
            return Stroke(self.end.moved(dx, dy))
        first, second = self.controls
        return Stroke(self.end.moved(dx, dy), (first.moved(dx, dy), second.moved(dx, dy)))


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow as drawn.

    ``pieces`` are one or two runs of strokes (the line is interrupted where the label stands), each with
    its starting point; ``tip`` is the point of the arrowhead and ``base`` the middle of its back, where the
    line ends.
    """

    pieces: tuple[tuple[Point, tuple[Stroke, ...]], ...]
    base: Point
    tip: Point
    label: Rect | None = None

    def moved(self, dx: float, dy: float) -> Route:
        """The same arrow elsewhere."""
        pieces = tuple(
            (start.moved(dx, dy), tuple(stroke.moved(dx, dy) for stroke in strokes))
            for start, strokes in self.pieces
        )
        label = None if self.label is None else self.label.moved(dx, dy)
        return Route(pieces, self.base.moved(dx, dy), self.tip.moved(dx, dy), label)


@dataclass(frozen=True, slots=True)
class Layout:
    """A finished layout; ``nodes``, ``routes`` and ``loops`` are in the order of what was asked for.

    A node's rectangle may be larger than its size where many arrows need room on its side.
    """

    width: float
    height: float
    horizontal: bool
    nodes: tuple[Rect, ...]
    routes: tuple[Route, ...]
    loops: tuple[tuple[Route, ...], ...]
