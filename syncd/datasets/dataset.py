"""A snapshot as a map-style dataset: what PyTorch's ``DataLoader`` takes, and whoever else counts and indexes."""

from __future__ import annotations

import operator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, get_args

from syncd.client.sync import Snapshot
from syncd.datasets.contents import Contents, UnreadableImageError
from syncd.datasets.decoding import decoder
from syncd.datasets.listing import Listing
from syncd.datasets.samples import ImagesAlone, Missing, RowsWithImages, require_image_column
from syncd.errors import SyncdError, UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from syncd.snapshots.table_objects import TableInfo

_AT_A_TIME = 64  # samples that are fetched together where one after the other is asked for


class SampleError(SyncdError):
    """A sample cannot be had; the text names its path and row."""


class SnapshotDataset:
    """The rows of a table with their images, or the images alone; one sample each, in an order that never changes.

    ``len(dataset)`` and ``dataset[17]`` as of any sequence; ``dataset[:64]`` is a list. Bytes are read when a sample is
    asked for, those of a batch concurrently. For ordinary code, threads, and data-loader workers, forked or spawned.

    Memory: the table, and for each image its path and 48 bytes, for each row 4.

    Args:
        snapshot: From :func:`syncd.open` or :meth:`syncd.Connection.snapshot`.
        table: A sample is a row of it, in the order of ``snapshot.table(…)``, with the image it names. None: a sample
            is an image, in the order of the paths, and its row is ``{"path": "cats/1.jpg"}``.
        transform: Makes a sample of an image and its row; None: a sample is the two, a tuple. Workers that are spawned
            need a function that can be pickled: one of a module, no lambda.
        decode: What an image is: "pil", a ``PIL.Image.Image`` in the mode of the file; "bytes"; or what a function of
            its bytes returns.
        missing: What becomes of rows whose image the snapshot does not have: "error", or "skip": they are no samples.
        folder: Where a snapshot was pulled to: what is there, with the right content, is read there, and the rest from
            lakeFS.
        cache: Keep what is fetched in ``pull.cache_dir``, which pulls share: a second epoch, or training, fetches
            nothing.

    All images are listed, and the table is read, when it is made.

    Raises:
        UsageError: An argument is none of these, or the rows of the table name no images.
        UnknownTableError: There is no such table; it says which there are.
        MissingImageError: Images are missing.
        MissingExtraError: Pillow, or for a table pyarrow, is not installed.
        StoreError: lakeFS does not answer or refuses.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        table: str | None = None,
        *,
        transform: Callable[[Any, dict[str, Any]], Any] | None = None,
        decode: str | Callable[[bytes], Any] = "pil",
        missing: Missing = "error",
        folder: str | os.PathLike[str] | None = None,
        cache: bool = False,
    ) -> None:
        if not isinstance(snapshot, Snapshot):
            raise UsageError(f"a dataset is made of a syncd.Snapshot, not of {snapshot!r}")
        if missing not in get_args(Missing):
            raise UsageError(f"missing={missing!r} is none", next_step='say "error" or "skip"')
        self.snapshot, self._table, self._transform = snapshot, table, transform
        self._decode = decoder(decode)
        described = None if table is None else self._described(table)
        self._listing = Listing()
        for image in snapshot.images():
            self._listing.add(image.path, image.size, None if image.sha256 is None else bytes.fromhex(image.sha256))
        self._samples = (
            ImagesAlone(self._listing) if described is None else RowsWithImages(self._listing, *described, missing)
        )
        self._contents = Contents(snapshot, self._listing, folder=None if folder is None else Path(folder), cache=cache)

    @property
    def skipped(self) -> Sequence[int]:
        """The rows that are no samples, for their image is missing; counted from 0."""
        return self._samples.skipped

    def path(self, index: SupportsIndex) -> str:
        """Return the path of a sample's image, below ``images/``; fetches nothing."""
        return self._listing.path(self._samples.images[self._position(index)])

    def row(self, index: SupportsIndex) -> dict[str, Any]:
        """Return the row of a sample, by column; fetches nothing."""
        return self._samples.row(self._position(index))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        """Return a sample, counted from the end if the index is negative; of a slice, a list of samples.

        Raises:
            IndexError: There is none.
            SampleError: Its image is damaged, or gone from lakeFS.
            StoreError: lakeFS does not answer or refuses.
        """
        if isinstance(index, slice):
            return self.__getitems__(range(*index.indices(len(self))))
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Iterable[SupportsIndex]) -> list[Any]:
        """Return samples, their images fetched concurrently; errors as above. ``DataLoader`` calls it for a batch."""
        positions = [self._position(index) for index in indices]
        numbers = [self._samples.images[position] for position in positions]
        try:
            contents = self._contents.read(numbers)
        except UnreadableImageError as unreadable:
            error = unreadable.error
            raise SampleError(
                f"the image of {self._name(positions[numbers.index(unreadable.number)])} cannot be read: {error.fact}",
                cause=error.cause,
                next_step=error.next_step or f"syncd verify {self.snapshot.name} --read-data names all such",
            ) from error
        return [self._sample(*one) for one in zip(positions, contents, strict=True)]

    def __iter__(self) -> Iterator[Any]:
        """Yield all samples in their order; some are fetched together."""
        positions = iter(range(len(self)))
        while some := list(islice(positions, _AT_A_TIME)):
            yield from self.__getitems__(some)

    def __repr__(self) -> str:
        of = "images" if self._table is None else f"rows of {self._table!r}"
        skipped = f", {len(self.skipped):,} skipped" if self.skipped else ""
        return f"<dataset of {len(self):,} {of} in {self.snapshot.name}{skipped}>"

    def _described(self, table: str) -> tuple[TableInfo, pa.Table]:
        read = self.snapshot.table(table)
        (info,) = (info for info in self.snapshot.tables() if info.name == table)
        require_image_column(info, read)  # before a million images are listed for nothing
        return info, read

    def _position(self, index: SupportsIndex) -> int:
        position = operator.index(index)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"there is no sample {operator.index(index):,}: the dataset has {len(self):,}")
        return position

    def _sample(self, position: int, content: bytes) -> Any:
        try:
            image = self._decode(content)
        except Exception as error:
            raise SampleError(
                f"the image of {self._name(position)} cannot be decoded: {error}",
                cause="its bytes are those the file had when the snapshot was made; that was no image, or damaged",
                next_step="put the file right and take a snapshot, or leave its row out",
            ) from error
        row = self._samples.row(position)
        if self._transform is None:
            return image, row
        try:
            return self._transform(image, row)
        except Exception as error:
            error.add_note(f"syncd: it was {self._name(position)}")
            raise

    def _name(self, position: int) -> str:
        return f"sample {position:,}, {self._samples.name(position)}"
