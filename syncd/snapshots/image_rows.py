"""Which row of a table describes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.snapshots.table_objects import TableInfo, image_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa


class ImageRows:
    """A table, and where in it each image is named. Memory: the table, and some 150 bytes for each image named.

    Args:
        info: Of the table; it has an image column.
        table: All of it.

    Building it takes a while for a large table: it is for a thread.
    """

    def __init__(self, info: TableInfo, table: pa.Table) -> None:
        self._table = table
        self._positions: dict[str, int] = {}
        position = 0
        for chunk in table.column(info.image_column or "").chunks:
            for value in chunk.to_pylist():
                path = image_path(info, value) if isinstance(value, str) else None
                if path is not None:
                    self._positions.setdefault(path, position)
                position += 1

    def values(self, column: str) -> Iterator[tuple[str, Any]]:
        """Yield each image that is named, and what a column says in the first row that names it."""
        values = self._table.column(column).to_pylist()
        for path, position in self._positions.items():
            yield path, values[position]

    def row(self, path: str) -> Mapping[str, Any] | None:
        """Return the first row that names an image, by column; None if none does.

        Args:
            path: Below ``images/``.
        """
        position = self._positions.get(path)
        return None if position is None else dict(self._table.slice(position, 1).to_pylist()[0])
