"""The same as ``publish`` for a table that is published as one text file. Any change writes it whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.model import TABLES, RowImage, Signature, TableObject
from syncd.sources.tables.base import WHOLE
from syncd.sources.tables.csv_text import text_of, write_csv
from syncd.sources.tables.publish import Published, PublishingStoppedError, image_position
from syncd.sources.tables.schema import schema_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from syncd.sources.tables.base import Row, TableReading
    from syncd.sources.tables.images import ImageColumn
    from syncd.sources.tables.publish import KnownObject
    from syncd.sources.tables.spool import Spool


def publish_csv(
    reading: TableReading,
    *,
    name: str,
    image_column: ImageColumn | None,
    known: Mapping[str, KnownObject],
    spool: Spool,
    stopped: Callable[[], bool] = lambda: False,
    on_rows: Callable[[Sequence[RowImage]], None] | None = None,
) -> Published:
    """Read a table once and leave its text in the spool, unless it is known; see ``publish``."""
    key = f"{TABLES}{name}.csv"
    batches = _told(reading, image_column, stopped, on_rows)
    with spool.new_file() as path:
        written = write_csv(path, reading.columns, batches, reading.key_position)
        fingerprint = written.fingerprint
        before = known.get(key)
        same = before is not None and before.published.fingerprint == fingerprint
        if before is None or not same or before.rewrite:
            spool.keep(path)
    made = TableObject(
        key=key,
        fingerprint=fingerprint,
        signature=Signature(fingerprint.size_bytes, 0, 0, 0),
        rows=written.rows,
        rows_digest=fingerprint.sha256,
    )
    key_name = reading.columns[reading.key_position].name
    return Published(
        objects=(made,),
        changed=(WHOLE,),  # its rows were told, so they are taken, whether or not there are others among them
        gone=(),
        rows=written.rows,
        schema=schema_json(name, reading.columns, key_name, written.rows, image_column).decode(),
    )


def _told(
    reading: TableReading,
    image_column: ImageColumn | None,
    stopped: Callable[[], bool],
    on_rows: Callable[[Sequence[RowImage]], None] | None,
) -> Iterator[Sequence[Row]]:
    at = reading.key_position
    text = text_of(reading.columns[at].kind, scale=reading.columns[at].scale)
    position = image_position(reading, image_column)
    for batch in reading.batches():
        if stopped():
            raise PublishingStoppedError("the reading of the table was stopped")
        if on_rows is not None and image_column is not None and position is not None:
            on_rows([RowImage(text(row[at]), WHOLE, image_column.key_of(row[position])) for row in batch])
        yield batch
