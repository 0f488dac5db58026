"""The rows of a table that changed from one snapshot to another, a page of them at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from syncd.errors import UsageError
from syncd.web.changes import ends, in_address
from syncd.web.keys import COMPARISONS
from syncd.web.render import page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.row_changes import RowChange
    from syncd.snapshots.table_comparison import TableComparison

A_PAGE = 100


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [web.get("/rows", _rows)]


async def _rows(request: web.Request) -> web.Response:
    left, right = await ends(request)
    name = request.query.get("table", "")
    try:
        after = bytes.fromhex(request.query.get("after", ""))
    except ValueError as error:
        raise UsageError("the address is not one of these pages", next_step="go back to the comparison") from error

    def read(told: Comparison) -> tuple[TableComparison, list[tuple[bytes, RowChange]]]:
        table = next((one for one in told.tables if one.name == name), None)
        if table is None:
            raise UsageError(f"no table called {name!r} differs between the two")
        return table, [] if table.found is None else table.found.page(after, A_PAGE + 1)

    async with request.app[COMPARISONS].lend(left, right) as kept:
        table, found = await kept.read(read)
    values: dict[str, Any] = {
        "left": left,
        "right": right,
        "ends": in_address(left, right),
        "table": table,
        "rows": [one for _, one in found[:A_PAGE]],
        "next": found[A_PAGE - 1][0].hex() if len(found) > A_PAGE else "",
    }
    return page(request, "_rows.html" if "HX-Request" in request.headers else "rows.html", **values)
