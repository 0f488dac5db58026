"""One pass over a table's rows: what it is published as, and the bodies of what changed. Blocks; for a thread.

A part whose rows are those published last costs a digest, no encoding and no upload. Memory: one part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.errors import SyncdError
from syncd.model import TABLES, RowImage, Signature, TableObject
from syncd.sources.tables import parquet
from syncd.sources.tables.base import TableFaultError
from syncd.sources.tables.csv_text import text_of
from syncd.sources.tables.parts import TARGET_ROWS, cut
from syncd.sources.tables.schema import schema_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from syncd.model import Fingerprint
    from syncd.sources.tables.base import Row, TableReading
    from syncd.sources.tables.images import ImageColumn
    from syncd.sources.tables.parts import Part
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
    rows: int
    schema: str  # JSON, as published


def publish(
    reading: TableReading,
    *,
    name: str,
    image_column: ImageColumn | None,
    known: Mapping[str, KnownObject],
    spool: Spool,
    target_rows: int = TARGET_ROWS,
    stopped: Callable[[], bool] = lambda: False,
    on_rows: Callable[[Sequence[RowImage]], None] | None = None,
) -> Published:
    """Read a table once, and leave in the spool the body of every object that is not known as it is now.

    Args:
        reading: Not begun yet.
        name: The table's; its objects' keys begin with "tables/<name>/".
        image_column: None: its rows name no images.
        known: By key; empty makes every body be written and every row be told anew.
        spool: Takes the bodies.
        target_rows: See :func:`syncd.sources.tables.parts.cut`.
        stopped: Asked after each batch of rows; True ends the pass.
        on_rows: Told of all rows of each part that changed, in order, some thousands at a time, with the part's name.
            Not of those of the parts that are gone. What it was told counts only when this function returns.

    Raises:
        PublishingStoppedError: ``stopped`` said so.
        TableUnavailableError: The connection was lost.
        TableFaultError: Something in the table cannot be published, or pyarrow is missing.
        JournalError: The disk is full.
    """
    parquet.arrow_schema(reading.columns)  # whether it can be published at all, before the first row is read
    work = _Pass(reading, f"{TABLES}{name}/", image_column, known, spool, on_rows)
    key_column = reading.columns[reading.key_position]
    batches = _until(stopped, reading.batches())
    for part in cut(batches, reading.key_position, key_column.kind, target_rows=target_rows):
        work.take(part)
        part.rows.clear()  # else two parts would be held while the next is gathered
    body = schema_json(name, reading.columns, key_column.name, work.rows, image_column)
    work.take_schema(body)
    return Published(
        objects=tuple(sorted(work.objects.values(), key=lambda published: published.key)),
        changed=tuple(sorted(work.changed)),
        gone=tuple(part_of(key) for key in sorted(known.keys() - work.objects.keys()) if key.endswith(_SUFFIX)),
        rows=work.rows,
        schema=body.decode(),
    )


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

    def __init__(
        self,
        reading: TableReading,
        prefix: str,
        image_column: ImageColumn | None,
        known: Mapping[str, KnownObject],
        spool: Spool,
        on_rows: Callable[[Sequence[RowImage]], None] | None,
    ) -> None:
        self.objects: dict[str, TableObject] = {}
        self.changed: list[str] = []
        self.rows = 0
        self._columns, self._key_position = reading.columns, reading.key_position
        self._prefix, self._known, self._spool, self._on_rows = prefix, known, spool, on_rows
        self._image_column, self._image_position = image_column, image_position(reading, image_column)

    def take(self, part: Part) -> None:
        key = f"{self._prefix}{part.name}{_SUFFIX}"
        if key in self.objects:
            raise TableFaultError(
                f"two parts of the table are named {part.name}",
                cause="its keys did not come in ascending order, or one came twice",
                next_step="report it: syncd reads the keys in order and checks them",
            )
        table = parquet.to_table(self._columns, part.rows, self._key_position)
        digest = parquet.rows_digest(self._columns, table)
        known = self._known.get(key)
        unchanged = known is not None and known.published.rows_digest == digest
        if known and unchanged and not known.rewrite:
            self.objects[key] = known.published
        else:
            with self._spool.new_file() as path:
                parquet.write_part(path, table)
                fingerprint = self._spool.keep(path)
            self.objects[key] = _object(key, fingerprint, len(part.rows), digest)
        self.rows += len(part.rows)
        if not unchanged:
            self.changed.append(part.name)
            self._tell(part)

    def take_schema(self, body: bytes) -> None:
        key = self._prefix + SCHEMA_NAME
        known = self._known.get(key)
        if known and not known.rewrite and known.published.fingerprint.sha256 == hashlib.sha256(body).digest():
            self.objects[key] = known.published
            return
        with self._spool.new_file() as path:
            path.write_bytes(body)
            self.objects[key] = _object(key, self._spool.keep(path), 0, b"")

    def _tell(self, part: Part) -> None:
        if self._on_rows is None:
            return
        column = self._columns[self._key_position]
        text = text_of(column.kind, scale=column.scale)
        for at in range(0, len(part.rows), _ROWS_AT_A_TIME):
            rows = part.rows[at : at + _ROWS_AT_A_TIME]
            self._on_rows([RowImage(text(row[self._key_position]), part.name, self._image(row)) for row in rows])

    def _image(self, row: Row) -> str | None:
        if self._image_column is None or self._image_position is None:
            return None
        return self._image_column.key_of(row[self._image_position])


def _object(key: str, fingerprint: Fingerprint, rows: int, digest: bytes) -> TableObject:
    signature = Signature(fingerprint.size_bytes, 0, 0, 0)
    return TableObject(key=key, fingerprint=fingerprint, signature=signature, rows=rows, rows_digest=digest)
