"""Charts as SVG, drawn here: the numbers of a page as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 720, 160, 8


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the area below it, as SVG has it."""

    points: str  # of the line: "0,160 12,80.5"
    area: str  # the same, closed along the bottom
    highest: float
    width: int = WIDTH
    height: int = HEIGHT


def steps(values: Sequence[tuple[float, float]], until: float) -> Line | None:
    """Return the line that keeps each value until the next one, and the last until the right edge; None for no values.

    Args:
        values: Each with the x from which on it holds, in the order of x.
        until: The x of the right edge.
    """
    if not values:
        return None
    (first, value), highest = values[0], max(y for _, y in values)
    span, inside = (until - first) or 1.0, HEIGHT - 2 * MARGIN
    corners = []
    for x, y in [*values, (until, values[-1][1])]:
        across = min(max(WIDTH * (x - first) / span, 0.0), float(WIDTH))
        corners += [(across, value), (across, y)]
        value = y
    drawn = " ".join(
        f"{across:.1f},{HEIGHT - MARGIN - (inside * y / highest if highest else 0.0):.1f}" for across, y in corners
    )
    return Line(drawn, f"0,{HEIGHT} {drawn} {WIDTH},{HEIGHT}", highest)


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, before and after."""

    name: str
    before: int
    after: int
    before_width: float  # of 100
    after_width: float

    @property
    def difference(self) -> int:
        """How many more there are."""
        return self.after - self.before


def bars(counts: Sequence[tuple[str, int, int]]) -> list[Bar]:
    """Return a pair of bars for each (name, before, after)."""
    most = max((max(before, after) for _, before, after in counts), default=1) or 1
    return [Bar(name, before, after, 100 * before / most, 100 * after / most) for name, before, after in counts]


def thinned(values: Sequence[tuple[float, float]], most: int = 400) -> Sequence[tuple[float, float]]:
    """Return at most so many of the points, evenly, the last among them."""
    if len(values) <= most:
        return values
    step = (len(values) - 1) / (most - 1)
    return [values[round(number * step)] for number in range(most)]
