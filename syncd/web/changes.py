"""What changed from one snapshot to another: the files, a page of them at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from aiohttp import web

from syncd.errors import NotFoundStoreError, StoreError, UsageError
from syncd.model import IMAGES
from syncd.snapshots.description import describe
from syncd.snapshots.file_changes import Kind, Wanted
from syncd.snapshots.reference import LATEST, Pinned, find
from syncd.store.pins import Keeper
from syncd.web import charts
from syncd.web.keys import COMPARISONS, WINDOW
from syncd.web.render import page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.file_changes import Change
    from syncd.web.comparisons import Kept
    from syncd.window import Shelf

A_PAGE = 60
MOST_FOLDERS = 50
FIRST_LOOK_S, LATER_LOOK_S = 0.3, 5.0  # a comparison that takes longer is shown once it is made
_KINDS = get_args(Kind)


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [
        web.get("/snapshots/{reference:.+}", _snapshot),
        web.get("/compare", _compare),
        web.get("/changes", _changes),
    ]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which changes of a comparison a page shows, and how: what its address says."""

    wanted: Wanted
    after: str
    by: str  # "table.column" that they are grouped by; "": by folder

    def values(self) -> dict[str, str]:
        """Return them as they stand in an address, without where to go on."""
        wanted = self.wanted
        return {
            "kind": ",".join(wanted.kinds),
            "in": "" if wanted.below == IMAGES else wanted.below,
            "q": wanted.contains,
            "by": self.by,
            "value": "" if wanted.value is None else wanted.value,
        }


def asked_of(query: Mapping[str, str]) -> Asked:
    """Return what an address asks for.

    Raises:
        UsageError: There is no such kind of change.
    """
    named = [kind for kind in query.get("kind", "").split(",") if kind]
    if unknown := [kind for kind in named if kind not in _KINDS]:
        raise UsageError(f"no change is called {unknown[0]!r}", next_step=f"one of {', '.join(_KINDS)}")
    kinds = cast("tuple[Kind, ...]", tuple(named))
    value = query.get("value") or None
    by = query.get("by", "")
    below = query.get("in") or IMAGES  # objects of tables are told of by their rows
    wanted = Wanted(kinds, below, query.get("q", ""), value if by else None)
    return Asked(wanted, query.get("after", ""), by)


async def pinned(shelf: Shelf, reference: str) -> Pinned:
    """Return what a person means; raises as :func:`syncd.snapshots.reference.find`."""
    return await find(shelf.versions, reference, publish=shelf.publish_branch)


async def ends(request: web.Request) -> tuple[Pinned, Pinned]:
    """Return the two that an address compares."""
    shelf, query = request.app[WINDOW].shelf, request.query
    return await pinned(shelf, query.get("from", "")), await pinned(shelf, query.get("to") or LATEST)


def in_address(left: Pinned, right: Pinned) -> dict[str, str]:
    """Return two snapshots as :func:`ends` reads them from an address."""
    return {"from": left.name, "to": right.name}


async def _snapshot(request: web.Request) -> web.Response:
    """Show one snapshot, and what changed since the one before."""
    shelf = request.app[WINDOW].shelf
    found = await pinned(shelf, request.match_info["reference"])
    before = await _before(shelf, found)
    values: dict[str, Any] = {
        "told": describe(found, repository=shelf.repository, prefix=shelf.prefix),
        "before": before,
        "note": await _note(shelf, found),
    }
    if before is None:
        return page(request, "snapshot.html", **values, comparison=None)
    return await _compared(request, "snapshot.html", before, found, values)


async def _compare(request: web.Request) -> web.Response:
    if not request.query.get("from"):
        return page(request, "choose.html", asked_from="", asked_to=request.query.get("to", LATEST))
    return await _compared(request, "compare.html", *await ends(request), {})


async def _compared(
    request: web.Request, template: str, left: Pinned, right: Pinned, values: dict[str, Any]
) -> web.Response:
    asked = asked_of(request.query)
    patience_s = LATER_LOOK_S if "waiting" in request.query else FIRST_LOOK_S
    async with request.app[COMPARISONS].lend(left, right) as kept:
        if not await kept.ready(patience_s):
            return page(request, "waiting.html", address=_waiting_address(request))
        told = {"left": left, "right": right, "ends": in_address(left, right), **await _told(kept, asked)}
        return page(request, template, **values, comparison=told)


async def _changes(request: web.Request) -> web.Response:
    """Answer with the next cards alone; what asks for them puts them below those that are there."""
    left, right = await ends(request)
    asked = asked_of(request.query)
    async with request.app[COMPARISONS].lend(left, right) as kept:
        told = {
            "left": left,
            "right": right,
            "ends": in_address(left, right),
            **await _some(kept, asked),
        }
        return page(request, "_cards.html", comparison=told)


async def _told(kept: Kept, asked: Asked) -> dict[str, Any]:
    """Return all that a page tells of a comparison."""
    labels = await kept.labels()
    columns = labels.columns()
    table, _, column = asked.by.partition(".")
    chart = None
    if asked.by:
        if (table, column) not in columns:
            raise UsageError(f"no column is called {asked.by!r}", next_step="choose one on the page")
        chart = charts.bars(labels.counts(table, column))
    in_folder = Wanted(asked.wanted.kinds, asked.wanted.below, asked.wanted.contains)

    def read(told: Comparison) -> dict[str, Any]:
        return {
            "stat": told.of_images,
            "tables": told.tables,
            "folders": told.folders(in_folder, MOST_FOLDERS + 1),
        }

    found = await kept.read(read)
    return {
        **found,
        "folders": found["folders"][:MOST_FOLDERS],
        "more_folders": len(found["folders"]) > MOST_FOLDERS,
        "columns": [f"{table}.{column}" for table, column in columns],
        "not_read": labels.why_not(),
        "by_value": table not in labels.why_not(),  # it is known which images have which
        "chart": chart,
        **await _some(kept, asked),
    }


async def _some(kept: Kept, asked: Asked) -> dict[str, Any]:
    """Return the cards that are asked for, and where to go on."""
    labels = await kept.labels()
    table, _, column = asked.by.partition(".")

    def read(told: Comparison) -> tuple[list[Change], int]:
        return told.page(asked.wanted, after=asked.after, limit=A_PAGE + 1), told.count(asked.wanted)

    found, count = await kept.read(read, said_by=None if asked.wanted.value is None else (table, column))
    shown = found[:A_PAGE]
    rows = await asyncio.to_thread(labels.of, [(one.old_path or one.path, one.path) for one in shown])
    return {
        "cards": [
            {"change": one, "is_image": one.path.startswith(IMAGES), "rows": row}
            for one, row in zip(shown, rows, strict=True)
        ],
        "count": count,
        "asked": asked,
        "next": shown[-1].path if len(found) > A_PAGE else "",
    }


async def _before(shelf: Shelf, found: Pinned) -> Pinned | None:
    """Return the snapshot that this one followed."""
    if not found.commit.parents:
        return None
    try:
        return await pinned(shelf, found.commit.parents[0])
    except NotFoundStoreError:
        return None


async def _note(shelf: Shelf, found: Pinned) -> dict[str, Any] | None:
    """Return a person's pin of a snapshot, with what they said."""
    try:
        note = await shelf.pins.note(found.commit.id)
        if note is not None:
            return {"reason": note.reason, "who": note.who, "at": note.at}
        async for one in shelf.pins.pins(Keeper.PERSON):
            if one.commit_id == found.commit.id:
                return {"reason": "", "who": "", "at": None}
    except StoreError:
        return None
    return None


def _waiting_address(request: web.Request) -> str:
    return str(request.rel_url.update_query(waiting="1"))
