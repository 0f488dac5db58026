"""Whether a server answers at all, and what its clock says: one plain request, with neither key nor client library."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from syncd.doctor.findings import Finding, fail, ok, warn
from syncd.store.translate import Place, unreachable
from syncd.store.trust import require_ca_file

if TYPE_CHECKING:
    from pathlib import Path

CLOCK = "lakefs.clock"
TOLERATED, REFUSED_SOON = timedelta(seconds=5), timedelta(minutes=5)  # requests are refused from 15 minutes on
_SET_CLOCK = "sudo timedatectl set-ntp true, on whichever machine is wrong"


@dataclass(frozen=True, slots=True)
class Alive:
    """An answer."""

    took_s: float
    ahead: timedelta | None  # of the server's clock this machine's is; None: the answer does not tell its time


def ask(endpoint: str, ca_file: Path | None, *, limit_s: float) -> Alive:
    """Ask a server whether it is alive. Blocks.

    Args:
        endpoint: Its address; a path in it is kept.
        ca_file: PEM file of the certificates to trust; None: the system's.
        limit_s: For the connection, and for each piece of the answer.

    Raises:
        StoreError: It does not answer, or is not trusted.
    """
    place, parts = Place(endpoint=endpoint, repository=""), urlsplit(endpoint)
    if parts.scheme == "https":
        require_ca_file(str(ca_file) if ca_file else None)
    began = datetime.now(UTC)
    try:
        connection = _connection(parts.scheme, parts.netloc.rpartition("@")[2], ca_file, limit_s)
        try:
            connection.request("GET", f"{parts.path.rstrip('/').removesuffix('/api/v1')}/_health")
            told = connection.getresponse().getheader("Date", "")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(error, "asking whether it is alive", place) from error
    ended = datetime.now(UTC)
    return Alive((ended - began).total_seconds(), _ahead(told, began + (ended - began) / 2))


def _connection(scheme: str, host: str, ca_file: Path | None, limit_s: float) -> http.client.HTTPConnection:
    if scheme == "https":
        trusted = ssl.create_default_context(cafile=ca_file)
        return http.client.HTTPSConnection(host, timeout=limit_s, context=trusted)
    return http.client.HTTPConnection(host, timeout=limit_s)


def _ahead(date: str | None, now: datetime) -> timedelta | None:
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    if theirs.tzinfo is None:
        return None
    # the header has no fractions: the moment lies within the second that it names
    return now - theirs - timedelta(seconds=0.5)


def of_clock(alive: Alive) -> Finding:
    """Return whether the clocks agree well enough for signed requests."""
    if alive.ahead is None:
        return ok(CLOCK, "lakeFS does not tell its time")
    seconds = alive.ahead.total_seconds()
    fact = f"this machine's clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} lakeFS's"
    if abs(alive.ahead) > REFUSED_SOON:
        return fail(CLOCK, f"{fact}; signed requests are refused when it is 15 minutes", _SET_CLOCK)
    if abs(alive.ahead) > TOLERATED:
        return warn(CLOCK, fact, _SET_CLOCK)
    return ok(CLOCK, f"the clocks of this machine and of lakeFS agree to {max(1, round(abs(seconds)))} s")
