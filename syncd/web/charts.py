"""Charts as SVG, drawn here: the numbers of a page as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 720, 160, 8
BAR, BAR_GAP = 9, 14


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the area below it, as SVG has it."""

    points: str  # of the line: "0,160 12,80.5"
    area: str  # the same, closed along the bottom
    highest: float
    width: int = WIDTH
    height: int = HEIGHT


def line(values: Sequence[tuple[float, float]]) -> Line | None:
    """Return the line through (x, y) points, in the order of x; None for fewer than two."""
    if len(values) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    (first, _), (last, _) = values[0], values[-1]
    highest, span = max(y for _, y in values), (last - first) or 1.0
    inside = HEIGHT - 2 * MARGIN
    points = [
        (WIDTH * (x - first) / span, HEIGHT - MARGIN - (inside * y / highest if highest else 0.0)) for x, y in values
    ]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Line(drawn, f"0,{HEIGHT} {drawn} {WIDTH},{HEIGHT}", highest)


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, before and after."""

    name: str
    before: int
    after: int
    y: int  # of its upper edge
    before_width: float  # of 100
    after_width: float

    @property
    def difference(self) -> int:
        """How many more there are."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Bars:
    """Values before and after, one pair of bars each."""

    bars: Sequence[Bar]
    bar: int = BAR

    @property
    def height(self) -> int:
        """Of all of them."""
        return len(self.bars) * (2 * BAR + BAR_GAP)


def bars(counts: Sequence[tuple[str, int, int]]) -> Bars:
    """Return bars for (name, before, after)."""
    most = max((max(before, after) for _, before, after in counts), default=1) or 1
    return Bars(
        [
            Bar(name, before, after, number * (2 * BAR + BAR_GAP), 100 * before / most, 100 * after / most)
            for number, (name, before, after) in enumerate(counts)
        ]
    )


def thinned(values: Sequence[tuple[float, float]], most: int = 400) -> Sequence[tuple[float, float]]:
    """Return at most so many of the points, evenly, the last among them."""
    if len(values) <= most:
        return values
    step = (len(values) - 1) / (most - 1)
    return [values[round(number * step)] for number in range(most)]
