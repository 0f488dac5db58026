"""One pass over a table's rows: what it is published as, and the bodies of what changed. Blocks; for a thread.

The rows are all there are, or those of the ranges where something may have changed; the result is the same. A part
whose rows are those published last costs a digest, no encoding and no upload. Memory: one part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from syncd.errors import SyncdError
from syncd.model import TABLES, RowImage, Signature, TableObject
from syncd.sources.tables import parquet
from syncd.sources.tables.base import TableChangingError, TableFaultError
from syncd.sources.tables.csv_text import text_of
from syncd.sources.tables.images import shown_of
from syncd.sources.tables.incremental import SeenPart, split
from syncd.sources.tables.part_names import key_bytes, part_name
from syncd.sources.tables.parts import TARGET_BYTES, TARGET_ROWS, Part, cut
from syncd.sources.tables.schema import schema_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from syncd.model import Fingerprint
    from syncd.sources.tables.base import Row, TableReading
    from syncd.sources.tables.images import ImageColumn
    from syncd.sources.tables.incremental import Plan
    from syncd.sources.tables.spool import Spool

SCHEMA_NAME = "_schema.json"

_SUFFIX = ".parquet"
_ROWS_AT_A_TIME = 5_000


class PublishingStoppedError(SyncdError):
    """The pass was given up on request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownObject:
    """An object of the table as it was published last."""

    published: TableObject
    rewrite: bool = False  # its body is needed although it may be unchanged: lakeFS lost it, the spool does not have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a table is to be published as."""

    objects: tuple[TableObject, ...]  # all of them, sorted by key: parts and ``_schema.json``
    changed: tuple[str, ...]  # names of parts that are new or hold other rows, sorted
    gone: tuple[str, ...]  # names of parts that are known and no more, sorted
    rows: int  # of the table
    schema: str  # JSON, as published
    parts: tuple[SeenPart, ...] = ()  # in the order of keys; () where the table is not published in parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """How one table is published.

    Args:
        name: The table's; its objects' keys begin with "tables/<name>/".
        image_column: None: its rows name no images.
        known: By key; empty makes every body be written and every row be told anew.
        spool: Takes the bodies.
        target_rows, target_bytes: See :func:`syncd.sources.tables.parts.cut`.
        stopped: Asked after each batch of rows; True ends the pass.
        on_rows: Told of all rows of each part that changed, in order, some thousands at a time, with the part's name.
            Not of those of the parts that are gone. What it was told counts only when the pass has ended.
        there: Which of some images are there; rows that name another one, or none, are left out of what is published.
            None: all rows are published.
    """

    name: str
    image_column: ImageColumn | None
    known: Mapping[str, KnownObject]
    spool: Spool
    target_rows: int = TARGET_ROWS
    target_bytes: int = TARGET_BYTES
    stopped: Callable[[], bool] = lambda: False
    on_rows: Callable[[Sequence[RowImage]], None] | None = None
    there: Callable[[Collection[str]], Collection[str]] | None = None

    def whole(self, reading: TableReading) -> Published:
        """Read a table once, and leave in the spool the body of every object that is not known as it is now.

        Args:
            reading: Not begun yet.

        Raises:
            PublishingStoppedError: ``stopped`` said so.
            TableUnavailableError: The connection was lost.
            TableFaultError: Something in the table cannot be published, or pyarrow is missing.
            JournalError: The disk is full.
        """
        work = _Pass(self, reading)
        work.take_all(_until(self.stopped, reading.batches()))
        return work.published()

    def again(self, reading: TableReading, plan: Plan) -> Published:
        """Read only what may have changed; all else is as it is known. The same result as that of :meth:`whole`.

        Args:
            reading: Of the rows in the plan's ranges, not begun yet.
            plan: Of the same moment; what it keeps is known.

        Raises:
            TableChangingError: There are other rows than the plan counted: a partition came to the table meanwhile.
                Else as :meth:`whole`.
        """
        work = _Pass(self, reading)
        for part in plan.kept:
            work.keep(part)
        found = [0] * len(plan.ranges)
        if plan.ranges:
            batches = _until(self.stopped, reading.batches())
            for number, rows in split(batches, reading.key_position, work.key_column.kind, plan.ranges):
                found[number] = work.take_all(rows, is_first=plan.ranges[number].begin is None)
        if tuple(found) != plan.range_rows:
            raise TableChangingError(f"the table {self.name} was given or lost partitions while it was being read")
        return work.published()


def part_of(key: str) -> str:
    """Return the name of the part that an object's key belongs to: "part-0" for "tables/labels/part-0.parquet"."""
    return key.rpartition("/")[2].removesuffix(_SUFFIX)


def image_position(reading: TableReading, image_column: ImageColumn | None) -> int | None:
    """Return where in a row the name of its image stands, or None if there is no such column configured.

    Raises:
        TableFaultError: The table does not have the column.
    """
    if image_column is None:
        return None
    names = [column.name for column in reading.columns]
    if image_column.name not in names:
        raise TableFaultError(
            f'the image column "{image_column.name}" is not in the table',
            cause=f"its columns are: {', '.join(names)}",
            next_step="correct image_column in the configuration",
        )
    return names.index(image_column.name)


def _until(stopped: Callable[[], bool], batches: Iterator[Sequence[Row]]) -> Iterator[Sequence[Row]]:
    for batch in batches:
        if stopped():
            raise PublishingStoppedError("the reading of the table was stopped")
        yield batch


class _Pass:
    """What was made of the rows so far."""

    def __init__(self, publisher: Publisher, reading: TableReading) -> None:
        parquet.arrow_schema(reading.columns)  # whether it can be published at all, before the first row is read
        self.key_column = reading.columns[reading.key_position]
        self._publisher, self._known, self._spool = publisher, publisher.known, publisher.spool
        self._columns, self._key_position = reading.columns, reading.key_position
        self._prefix = f"{TABLES}{publisher.name}/"
        self._image_position = image_position(reading, publisher.image_column)
        self._encoded = key_bytes(self.key_column.kind)
        self._objects: dict[str, TableObject] = {}
        self._parts: list[SeenPart] = []
        self._changed: list[str] = []

    def published(self) -> Published:
        """Return what all became; called once, at the end."""
        rows = sum(part.rows for part in self._parts)
        shown = rows - sum(one.hidden for one in self._objects.values())
        publisher = self._publisher
        body = schema_json(publisher.name, self._columns, self.key_column.name, shown, publisher.image_column)
        self._take_schema(body)
        return Published(
            objects=tuple(sorted(self._objects.values(), key=lambda published: published.key)),
            changed=tuple(sorted(self._changed)),
            gone=tuple(part_of(key) for key in sorted(self._known.keys() - self._objects) if key.endswith(_SUFFIX)),
            rows=rows,
            schema=body.decode(),
            parts=tuple(sorted(self._parts, key=lambda part: self._encoded(part.begin))),
        )

    def keep(self, part: SeenPart) -> None:
        """Take a part as it is known."""
        key = f"{self._prefix}{part.name}{_SUFFIX}"
        self._objects[key] = self._known[key].published
        self._parts.append(part)

    def take_all(self, batches: Iterable[Sequence[Row]], *, is_first: bool = True) -> int:
        """Cut rows into parts, from the table's first row on or from one that begins a part, and return how many."""
        count = 0
        parts = cut(
            batches,
            self._key_position,
            self.key_column.kind,
            target_rows=self._publisher.target_rows,
            target_bytes=self._publisher.target_bytes,
        )
        for part in parts:
            begin = part.rows[0][self._key_position]
            named = part if is_first else part._replace(name=part_name(self._encoded(begin)))
            count += len(part.rows)
            self._take(named)
            part.rows.clear()  # else two parts would be held while the next is gathered
        return count

    def _take(self, part: Part) -> None:
        key = f"{self._prefix}{part.name}{_SUFFIX}"
        if key in self._objects:
            raise TableFaultError(
                f"two parts of the table are named {part.name}",
                cause="its keys did not come in ascending order, or one came twice",
                next_step="report it: syncd reads the keys in order and checks them",
            )
        table = parquet.to_table(self._columns, part.rows, self._key_position)
        digest = parquet.rows_digest(self._columns, table)
        shown = self._shown(part.rows)
        hidden = shown.count(False)
        if hidden:  # what is told of the rows depends on both
            digest = hashlib.sha256(digest + bytes(shown)).digest()
        known = self._known.get(key)
        unchanged = known is not None and known.published.rows_digest == digest
        if known and unchanged and not known.rewrite:
            self._objects[key] = known.published
        else:
            if hidden:
                table = parquet.to_table(self._columns, list(compress(part.rows, shown)), self._key_position)
            with self._spool.new_file() as path:
                parquet.write_part(path, table)
                fingerprint = self._spool.keep(path)
            self._objects[key] = _object(key, fingerprint, len(part.rows), digest, hidden)
        self._parts.append(SeenPart(part.name, part.rows[0][self._key_position], len(part.rows), part.begun))
        if not unchanged:
            self._changed.append(part.name)
            self._tell(part, shown)

    def _take_schema(self, body: bytes) -> None:
        key = self._prefix + SCHEMA_NAME
        known = self._known.get(key)
        if known and not known.rewrite and known.published.fingerprint.sha256 == hashlib.sha256(body).digest():
            self._objects[key] = known.published
            return
        with self._spool.new_file() as path:
            path.write_bytes(body)
            self._objects[key] = _object(key, self._spool.keep(path), 0, b"")

    def _shown(self, rows: Sequence[Row]) -> list[bool]:
        publisher = self._publisher
        if publisher.there is None or publisher.image_column is None or self._image_position is None:
            return [True] * len(rows)
        return list(shown_of(rows, self._image_position, publisher.image_column, publisher.there))

    def _tell(self, part: Part, shown: Sequence[bool]) -> None:
        on_rows = self._publisher.on_rows
        if on_rows is None:
            return
        text = text_of(self.key_column.kind, scale=self.key_column.scale)
        for at in range(0, len(part.rows), _ROWS_AT_A_TIME):
            rows = zip(part.rows[at : at + _ROWS_AT_A_TIME], shown[at : at + _ROWS_AT_A_TIME], strict=True)
            on_rows([RowImage(text(row[self._key_position]), part.name, self._image(row), is_) for row, is_ in rows])

    def _image(self, row: Row) -> str | None:
        image_column = self._publisher.image_column
        if image_column is None or self._image_position is None:
            return None
        return image_column.key_of(row[self._image_position])


def _object(key: str, fingerprint: Fingerprint, rows: int, digest: bytes, hidden: int = 0) -> TableObject:
    signature = Signature(fingerprint.size_bytes, 0, 0, 0)
    return TableObject(
        key=key, fingerprint=fingerprint, signature=signature, rows=rows, hidden=hidden, rows_digest=digest
    )
