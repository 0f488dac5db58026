"""The snapshots that were made."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from syncd.errors import StoreError, UsageError
from syncd.journal import history
from syncd.model import Trigger
from syncd.snapshots.reference import moment_of
from syncd.status import snapshot_json
from syncd.store.pins import Keeper
from syncd.web import charts
from syncd.web.keys import WINDOW
from syncd.web.render import page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncd.model import Snapshot
    from syncd.window import Shelf

A_PAGE = 50
MOST_PINS = 10_000
PINS_S = 2.0  # then the page comes without them


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [web.get("/history", _history)]


async def _history(request: web.Request) -> web.Response:
    shelf, asked = request.app[WINDOW].shelf, request.query
    trigger = _trigger(asked.get("trigger", ""))
    since, until = (moment_of(asked[name]) if asked.get(name) else None for name in ("since", "until"))
    least = _number(asked.get("least", ""))

    def look(connection: Any) -> tuple[list[Snapshot], Any, Any]:  # of the journal's own kind
        made = history.finished(
            connection,
            limit=A_PAGE + 1,
            since=since,
            until=until,
            trigger=trigger,
            least_changes=least,
            before=asked.get("before") or None,
        )
        found = list(made)
        return found, history.rows_by_tag(connection, [one.tag for one in found[:A_PAGE]]), history.growth(connection)

    found, rows, growth = await shelf.read(look)
    pinned, fault = await _pinned(shelf)
    filters = {name: asked.get(name, "") for name in ("trigger", "since", "until", "least")}
    return page(
        request,
        "history.html",
        snapshots=[snapshot_json(one) | {"removed_at": one.removed_at} for one in found[:A_PAGE]],
        rows=rows,
        older=found[A_PAGE - 1].tag if len(found) > A_PAGE else "",
        filters=filters,
        filtered=any(filters.values()),
        triggers=[one.value for one in Trigger],
        images=_chart([(made_at, images) for made_at, images, _ in growth]),
        sizes=_chart([(made_at, size_bytes) for made_at, _, size_bytes in growth]),
        pinned=pinned,
        fault=fault,
    )


def _chart(values: list[tuple[float, float]]) -> dict[str, Any] | None:
    drawn = charts.steps(charts.thinned(values), time.time())
    if drawn is None:
        return None
    since = datetime.fromtimestamp(values[0][0], UTC)
    return asdict(drawn) | {"first": values[0], "last": values[-1], "since": since}


async def _pinned(shelf: Shelf) -> tuple[set[str], str]:
    """Return the commits that people have pinned, and why they are not known."""
    found: set[str] = set()
    try:
        async with asyncio.timeout(PINS_S):
            async for one in shelf.pins.pins(Keeper.PERSON):
                found.add(one.commit_id)
                if len(found) >= MOST_PINS:
                    break
    except StoreError as error:
        return found, str(error)
    except TimeoutError:
        return found, "lakeFS does not answer"
    return found, ""


def _trigger(asked: str) -> Trigger | None:
    if not asked:
        return None
    try:
        return Trigger(asked)
    except ValueError as error:
        raise UsageError(
            f"no trigger is called {asked!r}", next_step=f"one of {', '.join(one.value for one in Trigger)}"
        ) from error


def _number(asked: str) -> int:
    if not asked:
        return 0
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 16):  # noqa: PLR2004 - digits of what SQLite holds
        raise UsageError(f"{asked!r} is not a number of changes")
    return int(asked)
