"""What the samples of a dataset are: rows of a table with their images, or images alone."""

from __future__ import annotations

from array import array
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from syncd.errors import SyncdError, UsageError
from syncd.snapshots.table_objects import image_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from syncd.datasets.listing import Listing
    from syncd.snapshots.table_objects import TableInfo

Missing = Literal["error", "skip"]

MOST_NAMED = 5


class MissingImageError(SyncdError):
    """Rows name images that the snapshot does not have."""


def require_image_column(info: TableInfo, table: pa.Table) -> None:
    """Make sure that the rows of a table name images.

    Raises:
        UsageError: They do not.
    """
    if info.image_column is None:
        raise UsageError(
            f"rows of the table {info.name!r} name no images",
            cause="its section of the configuration, when the snapshot was made, had no image_column",
            next_step=f"set image_column for {info.name!r} and take a snapshot; or leave table= out: images alone",
        )
    if info.image_column not in table.column_names:
        raise UsageError(
            f"the table {info.name!r} has no column {info.image_column!r}, which should name its images",
            cause=f"its columns are: {', '.join(table.column_names)}",
        )


class ImagesAlone:
    """One sample for each image, in the order of the paths."""

    skipped: Sequence[int] = ()

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self.images = range(len(listing))

    def __len__(self) -> int:
        return len(self.images)

    def row(self, position: int) -> dict[str, Any]:
        """Return what there is to say of a sample: the path of its image."""
        return {"path": self._listing.path(position)}

    def name(self, position: int) -> str:
        """Return how an error calls a sample."""
        return repr(self._listing.path(position))


class RowsWithImages:
    """One sample for each row of a table, in the table's order. Memory: the table, and 4 bytes for each row.

    Args:
        listing: All images of the snapshot.
        info: Of the table; its rows name images.
        table: All of it.
        missing: What is done with rows whose image is missing: "error", or "skip": 4 bytes more for each row.

    Building it takes some microseconds for each row.

    Raises:
        MissingImageError: Images are missing, and that is an error.
    """

    def __init__(self, listing: Listing, info: TableInfo, table: pa.Table, missing: Missing) -> None:
        self._listing, self._info, self._table = listing, info, table
        self.images: Sequence[int] = array("I")
        self.skipped: Sequence[int] = array("I")  # rows, from 0
        self._rows: Sequence[int] = range(table.num_rows)
        found, lost = array("I"), array("I")
        near = 0
        for row, path in enumerate(self._paths()):
            number = None if path is None else listing.find(path, near)
            if number is None:
                lost.append(row)
            else:
                found.append(number)
                near = number + 1
        self.images = found
        if lost and missing == "error":
            raise self._missing(lost)
        if lost:
            left_out = set(lost)
            self._rows = array("I", (row for row in self._rows if row not in left_out))
            self.skipped = lost

    def __len__(self) -> int:
        return len(self.images)

    def row(self, position: int) -> dict[str, Any]:
        """Return the row of a sample, by column."""
        return self._row(self._rows[position])

    def name(self, position: int) -> str:
        """Return how an error calls a sample."""
        return f"{self._listing.path(self.images[position])!r}, of {self._named(self._rows[position])}"

    def _paths(self) -> Iterator[str | None]:
        """Yield what image each row names, or None."""
        for chunk in self._table.column(self._info.image_column or "").chunks:
            for value in chunk.to_pylist():
                yield None if value is None else image_path(self._info, str(value))

    def _row(self, row: int) -> dict[str, Any]:
        return dict(self._table.slice(row, 1).to_pylist()[0])

    def _named(self, row: int) -> str:
        """Return "row 17 of the table 'labels' (id=18)"; rows are counted from 0."""
        key = self._info.key
        known = "" if key is None else f" ({key}={self._row(row)[key]!r})"
        return f"row {row:,} of the table {self._info.name!r}{known}"

    def _missing(self, lost: Sequence[int]) -> MissingImageError:
        column = self._info.image_column or ""
        named = "; ".join(f"{self._row(row)[column]!r} of {self._named(row)}" for row in islice(lost, MOST_NAMED))
        more = f"; and {len(lost) - MOST_NAMED:,} more" if len(lost) > MOST_NAMED else ""
        return MissingImageError(
            f"{len(lost):,} of {self._table.num_rows:,} rows name images that are not in the snapshot: {named}{more}",
            cause="the table went ahead of the folder when the snapshot was made",
            next_step='say missing="skip" to go without these rows; closure = "hold" or "exclude" in the configuration'
            " makes snapshots without such",
        )
