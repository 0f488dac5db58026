"""Numbers are drawn where they belong."""

from __future__ import annotations

from syncd.web.charts import HEIGHT, MARGIN, WIDTH, bars, steps, thinned

TOP, BOTTOM = float(MARGIN), float(HEIGHT - MARGIN)


def corners(points: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, corner.split(","))) for corner in points.split()]


def test_a_value_holds_until_the_next_one_and_the_last_until_now() -> None:
    drawn = steps([(0.0, 10.0), (50.0, 20.0)], 100.0)
    assert drawn is not None
    half = WIDTH / 2
    middle = (TOP + BOTTOM) / 2
    assert corners(drawn.points) == [(0, middle), (0, middle), (half, middle), (half, TOP), (WIDTH, TOP), (WIDTH, TOP)]
    assert corners(drawn.area)[0] == (0, HEIGHT)
    assert corners(drawn.area)[-1] == (WIDTH, HEIGHT)


def test_one_value_is_a_line_and_none_is_nothing() -> None:
    one = steps([(5.0, 3.0)], 9.0)
    assert one is not None
    assert {y for _, y in corners(one.points)} == {TOP}
    assert corners(one.points)[-1][0] == WIDTH
    assert steps([], 9.0) is None


def test_a_clock_that_was_set_back_draws_nothing_outside() -> None:
    drawn = steps([(100.0, 1.0), (50.0, 0.0), (300.0, 2.0)], 200.0)
    assert drawn is not None
    assert all(0 <= x <= WIDTH and TOP <= y <= BOTTOM for x, y in corners(drawn.points))


def test_the_most_is_as_wide_as_can_be() -> None:
    found = bars([("a", 4, 2), ("b", 0, 1)])
    assert [(one.before_width, one.after_width, one.difference) for one in found] == [(100, 50, -2), (0, 25, 1)]
    assert bars([("a", 0, 0)])[0].before_width == 0


def test_many_points_are_thinned_and_the_last_stays() -> None:
    many = [(float(number), 1.0) for number in range(10_000)]
    few = thinned(many)
    assert len(few) == 400
    assert (few[0], few[-1]) == (many[0], many[-1])
