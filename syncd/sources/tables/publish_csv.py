"""The same as ``publish`` for a table that is published as one text file. Any change writes it whole."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from syncd.model import TABLES, RowImage, Signature, TableObject
from syncd.sources.tables.base import WHOLE
from syncd.sources.tables.csv_text import text_of, write_csv
from syncd.sources.tables.images import shown_of
from syncd.sources.tables.publish import Published, PublishingStoppedError, image_position
from syncd.sources.tables.schema import schema_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

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
    there: Callable[[Collection[str]], Collection[str]] | None = None,
) -> Published:
    """Read a table once and leave its text in the spool, unless it is known; see ``publish``."""
    key = f"{TABLES}{name}.csv"
    rows = 0

    def tell(batch: Sequence[RowImage]) -> None:
        nonlocal rows
        rows += len(batch)
        if on_rows is not None:
            on_rows(batch)

    batches = _told(reading, image_column, stopped, tell, there)
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
        rows=rows,
        hidden=rows - written.rows,
        rows_digest=fingerprint.sha256,
    )
    key_name = reading.columns[reading.key_position].name
    return Published(
        objects=(made,),
        changed=(WHOLE,),  # its rows were told, so they are taken, whether or not there are others among them
        gone=(),
        rows=rows,
        schema=schema_json(name, reading.columns, key_name, written.rows, image_column).decode(),
    )


def _told(
    reading: TableReading,
    image_column: ImageColumn | None,
    stopped: Callable[[], bool],
    on_rows: Callable[[Sequence[RowImage]], None],
    there: Callable[[Collection[str]], Collection[str]] | None,
) -> Iterator[Sequence[Row]]:
    at = reading.key_position
    text = text_of(reading.columns[at].kind, scale=reading.columns[at].scale)
    position = image_position(reading, image_column)
    for batch in reading.batches():
        if stopped():
            raise PublishingStoppedError("the reading of the table was stopped")
        images: list[str | None] = [None] * len(batch)
        shown = [True] * len(batch)
        if image_column is not None and position is not None:
            images = [image_column.key_of(row[position]) for row in batch]
            if there is not None:
                shown = list(shown_of(batch, position, image_column, there))
        told = zip(batch, images, shown, strict=True)
        on_rows([RowImage(text(row[at]), WHOLE, image, is_) for row, image, is_ in told])
        yield list(compress(batch, shown))
