"""The real daemon ends at each effect on its journal, stores and files in turn; the next start makes it good."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.crashes.scenario import Scenario
from tests.support.figures import Figures

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.slow]

DEFAULT_POINTS = "40"  # SYNCD_CRASH_POINTS: "all", or so many, chosen evenly, or those with this in their names
AT_A_TIME = 2  # much of the time each only waits

Begin = Callable[[str], Scenario]


def chosen(names: list[str], rng: random.Random) -> list[str]:
    """Return the points to end at: all of them, or as many as are asked for, evenly, the first by chance."""
    asked = os.environ.get("SYNCD_CRASH_POINTS") or DEFAULT_POINTS
    if not asked.isdecimal():
        return [name for name in names if asked == "all" or asked in name]
    step = max(1.0, len(names) / int(asked))
    first = rng.random() * step
    return [names[int(first + number * step)] for number in range(int(len(names) / step))]


def recorded(begin: Begin) -> Scenario:
    """Play the scenario without an end, which must be exact as well."""
    scenario = begin("recorded")
    scenario.start_crashing(None)
    assert scenario.play()
    scenario.take()
    scenario.dataset.daemons[-1].stop()
    return scenario


def end_at(point: str, scenario: Scenario, *, while_down: str, most_uploads: int) -> bool:
    """End at a point, start again, and compare; return whether the point was reached.

    Args:
        point: Its name.
        scenario: At its beginning.
        while_down: What happens before the next start: "nothing", or "change": the change that was still to come,
            or, where it has come, the way back, so that nothing but the journal tells what was under way.
        most_uploads: What the scenario sends without an end.
    """
    daemon = scenario.start_crashing(point)
    if scenario.play():
        daemon.signal(signal.SIGTERM)  # the point may be one of its orderly end
        if daemon.wait() == 0:
            return False  # what is done together differs a little from run to run
    assert daemon.exit_code == -signal.SIGKILL, daemon.log()
    assert scenario.points()[-1] == point
    try:
        scenario.witness.tags()
        if while_down == "change" and scenario.changed:
            scenario.change_back()
            most_uploads *= 2
        elif while_down == "change":
            scenario.change()
        again = scenario.start_plain()
        scenario.take()
        if not scenario.changed:
            scenario.change()
            scenario.take()
        assert scenario.uploaded() <= most_uploads, "what was sent, and known to be, was sent again"
        again.stop()
        assert not scenario.refused, f"no snapshot at first, {len(scenario.refused)} times: {scenario.refused[-1]}"
    except Exception as error:  # whatever it is, it belongs to this point
        logs = "\n".join(f"--- {one.log_path.name}\n{one.log()}" for one in scenario.dataset.daemons)
        raise AssertionError(f"ended {point}, {while_down=}: {error}\n{logs}") from error
    return True


def test_it_carries_on_from_every_point(begin: Begin, rng: random.Random, figures: Figures) -> None:
    """P1, P2, P3, P4, P6: whole and exact, no commit twice, no tag moved, what is known to be sent not sent again."""
    reference = recorded(begin)
    names, most_uploads = reference.points(), reference.uploaded()
    points = chosen(names, rng)
    print(f"{len(points)} of {len(names)} points, {most_uploads} uploads")  # noqa: T201 - shown when the test fails
    coins = {point: rng.choice(("nothing", "change")) for point in points}

    missed: list[str] = []

    def one(point: str) -> str:
        began_at, number = time.monotonic(), names.index(point) + 1
        try:
            reached = end_at(point, begin(str(number)), while_down=coins[point], most_uploads=most_uploads)
        except AssertionError as error:
            print(f"point {number}: {point} FAILED: {str(error)[:400]}")  # noqa: T201
            return f"point {number}: {error}"
        if not reached:
            missed.append(point)
        took = f"{time.monotonic() - began_at:.1f} s"
        print(f"point {number}: {point} ({took if reached else 'not reached'})")  # noqa: T201
        return ""

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        failed = [text for text in pool.map(one, points) if text]
    assert not failed, f"{len(failed)} of {len(points)} points:\n" + "\n\n".join(failed)
    figures("ends at an effect, each in turn", len(points) - len(missed), points=len(names), not_exact=0)
