"""The page people look at: how long each of its parts takes, with many snapshots, files and changes."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import corpus as files
import lakefs
import place as places
from corpus import Corpus
from peers import SYNCD
from record import Goal, Record

from syncd import config
from syncd.journal import Journal
from syncd.service.lakefs import open_reader
from syncd.service.shelf import PICTURES, shelf_of
from syncd.status import status
from syncd.tallies import Tallies
from syncd.web.server import serve
from syncd.window import Listen, Shelf

if TYPE_CHECKING:
    from pathlib import Path

    from place import Place
    from record import Row

CHANGES, FILES, SNAPSHOTS = 100_000, 1_000_000, 10_000
FILE_BYTES, LABELS = 2_000, 10
AT_MOST_MS = 100.0
TIMES_A_ROUND = 5
LIMIT_S = 120.0  # for the first look at a comparison
TEXT = (
    "Answers of the page over a journal of {files:,} files and {snapshots:,} snapshots (copies of the rows of the true"
    " ones), and a lakeFS that holds {changes:,} files and a table with a row for each: a comparison of its first"
    " commit with the newest has as many changes. Milliseconds until the whole answer has come. A comparison is made"
    " once, when it is first asked for, and kept: its first look is a line of its own."
)
_MORE_FILES = """
WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :count),
made AS MATERIALIZED (SELECT n, randomblob(32) AS hash FROM number)
INSERT INTO entry (directory, name, seen_sha256, seen_md5, size_bytes, mtime_ns, ctime_ns, inode, seen_at, revision,
    staged_sha256, staged_bytes, committed_sha256, committed_bytes, committed_in)
SELECT printf('images/~more/%05d/', n / 250), printf('%06d.jpg', n), hash, randomblob(16), 2000, n, n, n, 0.0, 0,
    hash, 2000, hash, 2000, 1 FROM made
"""
_MORE_SNAPSHOTS = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)
INSERT INTO snapshot (sequence, intent, step, trigger_name, begun_at, tag, message, metadata, added, changed, deleted,
    images, size_bytes, digest_state, digest, staging_commit, commit_id, created_at)
SELECT sequence + n, intent || n, step, trigger_name, begun_at + n, tag || '-' || n, message, metadata, n % 500,
    changed, deleted, images + n % 977, size_bytes + n, digest_state, digest, staging_commit, commit_id, created_at + n
FROM snapshot CROSS JOIN number WHERE sequence = (SELECT max(sequence) FROM snapshot)
"""


@dataclass(slots=True)
class Shown:
    """Implements ``window.Window`` over a journal that no daemon writes to."""

    journal: Journal
    shelf: Shelf
    tallies: Tallies = field(default_factory=Tallies)
    actions: None = None

    async def status(self) -> dict[str, Any]:
        """See ``Window.status``."""
        return await self.journal.read(status, None)

    def health(self) -> dict[str, Any]:
        """See ``Window.health``."""
        return {"live": {"ok": True, "checks": []}, "ready": {"ok": True, "checks": []}}


def pages(*, rounds: int, changes: int = CHANGES, total: int = FILES, snapshots: int = SNAPSHOTS) -> Record:
    """Ask for each page again and again."""
    corpus = Corpus(files=changes, size_bytes=FILE_BYTES, kind="noise")
    text = TEXT.format(files=total, snapshots=snapshots, changes=changes)
    record = Record(name="pages", title="The page", text=text, corpus=str(corpus), by="what is asked for")
    with places.place_for(corpus) as place:
        state = place.fresh("looked-at")
        path = places.configure(place, state, root=place.work_copy, more=_labels(corpus, state / "labels.csv"))
        subprocess.run([SYNCD, "sync", "--config", path], check=True, stdout=subprocess.DEVNULL)
        _enlarge(state / "state" / "journal.db", entries=total - changes, snapshots=snapshots)
        asyncio.run(_look(place, path, record, rounds * TIMES_A_ROUND))
    slowest = max((row for row in record.rows if "first look" not in row.who), key=lambda row: row.middle("ms"))
    record.goals = [Goal(what=f"ms of the slowest, {slowest.who}", value=slowest.middle("ms"), at_most=AT_MOST_MS)]
    return record


def _labels(corpus: Corpus, path: Path) -> str:
    """Write a table that says of each file one of a few words; return its section."""
    with path.open("w", newline="") as file:
        rows = ((name, f"label-{number % LABELS}") for number, name in enumerate(files.paths(corpus)))
        csv.writer(file).writerows([("image", "label"), *rows])
    return f'[[tables]]\nname = "labels"\ncsv = "{path}"\nkey = "image"\nimage_column = "image"\n'


def _enlarge(journal: Path, *, entries: int, snapshots: int) -> None:
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute(_MORE_FILES, {"count": entries})
        (there,) = connection.execute("SELECT count(*) FROM snapshot").fetchone()
        connection.execute(_MORE_SNAPSHOTS, {"count": snapshots - there})


async def _look(place: Place, path: Path, record: Record, times: int) -> None:
    settings = config.load(path).settings
    first = [*lakefs.Repository(settings.lakefs.repository, client=place.client()).branch("main").log()][-1].id
    async with open_reader(settings) as reader, Journal(settings.service.state_dir) as journal:
        shown = Shown(journal, shelf_of(reader, journal.read, settings.service.state_dir / PICTURES))
        async with (
            serve(shown, Listen("127.0.0.1", 0)) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"Accept": "text/html"}) as session,
        ):
            compared = f"from={first}&to=latest"
            await _first_look(session, record.row("a comparison, its first look"), f"/compare?{compared}")
            middle, some = await journal.read(_two_of)
            image = quote(some, safe="")
            looks = {
                "how it stands": "/",
                "the newest snapshots": "/history",
                "snapshots from the middle on": f"/history?before={quote(middle)}",
                "snapshots by trigger and size": "/history?trigger=schedule&least=100000",
                "the newest snapshot": "/snapshots/latest",
                "all changes": f"/compare?{compared}",
                "the next cards": f"/changes?{compared}&after={image}",
                "a search that finds one": f"/compare?{compared}&q={image}",
                "a search that finds nothing": f"/compare?{compared}&q=nowhere",
                "the changes in a folder": f"/compare?{compared}&in={quote(some.rpartition('/')[0] + '/', safe='')}",
                "changes by a column": f"/compare?{compared}&by=labels.label",
                "changes where it has a value": f"/compare?{compared}&by=labels.label&value=label-7",
                "one image": f"/image?{compared}&path={image}",
            }
            for _ in range(times):
                for what, address in looks.items():
                    record.row(what).add(ms=await _answered_ms(session, address))


async def _first_look(session: aiohttp.ClientSession, row: Row, address: str) -> None:
    started = time.perf_counter()
    while "are being compared" in await _text(session, address + "&waiting=1"):
        if time.perf_counter() - started > LIMIT_S:
            raise AssertionError("the comparison is not made")
    row.add(ms=1000 * (time.perf_counter() - started))


async def _answered_ms(session: aiohttp.ClientSession, address: str) -> float:
    started = time.perf_counter()
    await _text(session, address)
    return 1000 * (time.perf_counter() - started)


async def _text(session: aiohttp.ClientSession, address: str) -> str:
    async with session.get(address) as answer:
        text = await answer.text()
        if answer.status != 200:
            raise AssertionError(f"{address}: {answer.status} {text[:500]}")
        return text


def _two_of(connection: sqlite3.Connection) -> list[str]:
    """Return the tag of a snapshot in the middle, and the path of a file that lakeFS holds."""
    queries = (
        "SELECT tag FROM snapshot ORDER BY sequence LIMIT 1 OFFSET (SELECT count(*) / 2 FROM snapshot)",
        "SELECT directory || name FROM entry WHERE directory < 'images/~' ORDER BY directory, name LIMIT 1 OFFSET 99",
    )
    return [connection.execute(query).fetchone()[0] for query in queries]
