"""Do the rows and images of a snapshot fit together? From its listing and its tables alone; promise P3.

Memory does not grow with either: images and what rows name lie in a database without a name.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from syncd.errors import PermanentStoreError
from syncd.snapshots.arrow import MissingExtraError
from syncd.snapshots.tables import BrokenTableError, informed, read_part, text_rows
from syncd.sources.tables.roles import roles_in_commit
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from syncd.snapshots.table_objects import StoredTable
    from syncd.sources.tables.images import ImageColumn
    from syncd.store.base import ObjectReader

_SCHEMA = """
CREATE TABLE IF NOT EXISTS image (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS named (image TEXT, row_key TEXT);
"""
_NAME = "INSERT INTO named VALUES (?, ?)"
_MISSING = "FROM named WHERE image IS NULL OR image NOT IN (SELECT key FROM image)"
_ORPHANED = "FROM image WHERE key NOT IN (SELECT image FROM named WHERE image IS NOT NULL)"
_WORDS = {"missing": "rows without image", "orphaned": "images without row"}
_IMAGES_AT_A_TIME = 5_000
_MOST_NAMED = 5  # in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFit:
    """How one table and the images of its snapshot fit together."""

    name: str
    rows: int | None = None  # found in it; None: it could not be read
    missing: int | None = None  # rows that name no image of the snapshot; None: it is not known what its rows name
    orphaned: int | None = None  # images that no row names
    unknown: str = ""  # why it was not compared
    faults: tuple[str, ...] = ()  # where its commit says otherwise, or it is damaged


class Fit:
    """The images of a snapshot, and what of its tables fits to them.

    Args:
        scratch: A database of its own.
    """

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch, self._page = scratch, list[tuple[str]]()
        scratch.executescript(_SCHEMA)

    def image(self, key: str) -> None:
        """Take in one image of the listing."""
        self._page.append((key,))
        if len(self._page) == _IMAGES_AT_A_TIME:
            self._flush()

    async def table(self, stored: StoredTable, objects: ObjectReader, said: Mapping[str, str]) -> TableFit:
        """Read a table once all images are taken in, and hold it against them and against what its commit says.

        Args:
            stored: The table.
            objects: Of the commit.
            said: The commit's metadata.

        Raises:
            StoreError: lakeFS does not answer or refuses; what is wrong with the table is found, not raised.
        """
        self._flush()
        self._scratch.execute("DELETE FROM named")
        name, rows = stored.info.name, 0
        try:
            info = (await informed(stored, objects)).info
            async with aclosing(_named(stored, objects, info.key, info.images)) as batches:
                async for batch in batches:
                    rows += len(batch)
                    await in_thread_to_its_end(partial(self._scratch.executemany, _NAME, batch))
        except MissingExtraError as error:
            return TableFit(name=name, unknown=f"{error.fact}; {error.next_step}")
        except (BrokenTableError, PermanentStoreError) as error:
            return TableFit(name=name, faults=(f"{error.fact}: {error.cause}",))
        faults = [] if info.rows in {None, rows} else [f"its commit says {info.rows:,} rows; found are {rows:,}"]
        if info.images is None:
            return TableFit(name=name, rows=rows, unknown="its rows name no images", faults=tuple(faults))
        return await in_thread_to_its_end(partial(self._compared, name, rows, faults, said))

    def _compared(self, name: str, rows: int, faults: list[str], said: Mapping[str, str]) -> TableFit:
        found = {"missing": self._count(_MISSING), "orphaned": self._count(_ORPHANED)}
        closure = roles_in_commit(said, name).closure
        for what, count in found.items():
            told = said.get(f"syncd.{what}.{name}")
            if told is None:
                continue
            fits = {"exclude": {"0"}, None: {told, "0"}}.get(closure, {told})  # exclude: what does not fit is left out
            if str(count) not in fits:
                left_out = ", which closure = exclude leaves out" if closure == "exclude" else ""
                said_so = f"its commit says {told} {_WORDS[what]}{left_out}"
                faults.append(f"{said_so}; found are {count}{self._some(what)}")
        return TableFit(
            name=name, rows=rows, missing=found["missing"], orphaned=found["orphaned"], faults=tuple(faults)
        )

    def _some(self, what: str) -> str:
        if what == "missing":
            query = f"SELECT row_key, coalesce(image, 'no image') {_MISSING} ORDER BY 1 LIMIT ?"
            some = [f"row {key}: {image}" for key, image in self._scratch.execute(query, (_MOST_NAMED,))]
        else:
            some = [
                key for (key,) in self._scratch.execute(f"SELECT key {_ORPHANED} ORDER BY 1 LIMIT ?", (_MOST_NAMED,))
            ]
        return f", as {'; '.join(some)}" if some else ""

    def _count(self, which: str) -> int:
        (count,) = self._scratch.execute(f"SELECT count(*) {which}").fetchone()
        return int(count)

    def _flush(self) -> None:
        self._scratch.executemany("INSERT OR IGNORE INTO image VALUES (?)", self._page)
        self._page.clear()


async def _named(
    stored: StoredTable, objects: ObjectReader, key: str | None, images: ImageColumn | None
) -> AsyncGenerator[list[tuple[str | None, str]], None]:
    """Yield the image and the key of each row, some at a time."""
    wanted = [name for name in (images and images.name, key) if name]
    async with aclosing(_columns(stored, objects, wanted)) as batches:
        async for columns in batches:
            count = len(next(iter(columns.values()), []))
            keys = columns.get(key or "", [""] * count)
            values = columns.get(images.name, [None] * count) if images else [None] * count
            yield [
                (images.key_of(value) if images else None, str(row_key))
                for value, row_key in zip(values, keys, strict=True)
            ]


async def _columns(
    stored: StoredTable, objects: ObjectReader, wanted: Sequence[str]
) -> AsyncGenerator[dict[str, Sequence[Any]], None]:
    """Yield some columns of a table, or its first one, some rows at a time."""
    if stored.info.form == "parquet":
        for part in stored.parts:
            table = await read_part(part, objects)
            there = [name for name in wanted if name in table.column_names] or table.column_names[:1]
            yield {name: table.column(name).to_pylist() for name in there}
        return
    header: list[str] = []
    async with aclosing(text_rows(stored.parts[0], objects)) as batches:
        async for rows in batches:
            if not header:
                header = rows[0]
                continue
            there = [name for name in wanted if name in header] or header[:1]
            yield {name: [row[header.index(name)] for row in rows] for name in there}
