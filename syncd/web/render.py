"""Pages from templates: everything that comes from outside is escaped, and shown for what it is."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from syncd import __version__
from syncd.web import access, static
from syncd.web.keys import WINDOW
from syncd.words import fit, printable, size

if TYPE_CHECKING:
    from syncd.errors import SyncdError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
WORDS = {"removed": "deleted"}  # of kinds of changes, as people say them
MARKS = {"added": "+", "changed": "~", "removed": "−", "renamed": "→", "conflict": "!"}  # noqa: RUF001 - a minus sign


def page(request: web.Request, template: str, *, code: int = 200, **values: Any) -> web.Response:
    """Return a page, or the part of one that htmx asks for by a template of that part."""
    common = {
        "version": __version__,
        "place": request.app[WINDOW].shelf.repository,
        "path": request.path,
        "may_act": request[access.MAY_ACT] and request.app[WINDOW].actions is not None,
        "has_actions": request.app[WINDOW].actions is not None,
        "has_session": bool(request.app[access.SESSIONS].token),
    }
    text = environment().get_template(template).render(common | values)
    return web.Response(status=code, text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY})


def failure(request: web.Request, status: int, error: SyncdError) -> web.Response:
    """Return what went wrong: as a page for people, as text for others."""
    if "text/html" in request.headers.get("Accept", "") or "HX-Request" in request.headers:
        return page(request, "failure.html", code=status, error=error)
    return web.Response(status=status, text=f"{error}\n")


@cache
def environment() -> Environment:
    """Return the templates with what they call."""
    made = Environment(
        loader=PackageLoader("syncd.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "size": size,
        "shown": printable,
        "count": lambda number: "?" if number is None else f"{number:,}",
        "signed": lambda number: f"{number:+,}",
        "when": when,
        "ago": ago,
        "kind": lambda kind: WORDS.get(kind, kind),
        "mark": MARKS.__getitem__,
        "short": lambda commit_id: commit_id[:12],
        "part": lambda text: quote(text, safe=""),
        "query": lambda values: urlencode([(name, value) for name, value in values.items() if value not in ("", None)]),
        "cell": cell,
    }
    made.globals |= {"asset": static.address, "fit": fit}
    return made


def when(moment: str | datetime | None) -> str:
    """Return a time in UTC, to the second."""
    if moment is None:
        return "never"
    read = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return read.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(moment: str | datetime | None, now: datetime | None = None) -> str:
    """Return how long ago, or in how long, a time is: "3 min ago"."""
    if moment is None:
        return "never"
    read = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    seconds = ((now or datetime.now(UTC)) - read).total_seconds()
    length = abs(seconds)
    if length < MINUTE_S:
        told = f"{length:.0f} s"
    elif length < HOUR_S:
        told = f"{length / MINUTE_S:.0f} min"
    elif length < 2 * DAY_S:
        told = f"{length / HOUR_S:.0f} h"
    else:
        told = f"{length / DAY_S:.0f} days"
    return f"{told} ago" if seconds >= 0 else f"in {told}"


def cell(value: Any) -> str:
    """Return a value of a table's."""
    if value is None:
        return "NULL"
    text = value.hex() if isinstance(value, bytes) else str(value)
    return printable(text if len(text) <= 200 else text[:199] + "…")  # noqa: PLR2004 - characters
