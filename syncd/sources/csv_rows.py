"""The rows of one version of a CSV file on their way to the inventory, while the file is read and checked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from syncd.errors import RepeatedRowError
from syncd.model import RowImage
from syncd.sources.csv_check import TableStoppedError
from syncd.sources.tables.base import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncd.sources.base import Inventory
    from syncd.sources.tables.images import ImageColumn


class RowsLaidBy:
    """Lays rows by from the thread that reads them; made in the event loop.

    Args:
        inventory: Takes them.
        table: The table's name.
        image: How a row's image is found.
        stopped: Asked before each call to the inventory, which may be closed by then.
    """

    def __init__(self, inventory: Inventory, table: str, image: ImageColumn, stopped: Callable[[], bool]) -> None:
        self._inventory, self._table, self._image, self._stopped = inventory, table, image, stopped
        self._loop = asyncio.get_running_loop()
        self.repeated = False  # a key came twice: not all rows were laid by

    def tell(self, rows: Sequence[tuple[str, str]]) -> None:
        """Lay by rows, each with its key and what it has in the image column. Blocks.

        A key that comes twice is only noted: the check, which goes on, names the lines.

        Raises:
            TableStoppedError: ``stopped`` said so.
            JournalError: They cannot be kept.
        """
        if self._stopped():
            raise TableStoppedError("the reading was stopped")
        if self.repeated:
            return
        laid_by = [RowImage(key, WHOLE, self._image.key_of(value)) for key, value in rows]
        try:
            asyncio.run_coroutine_threadsafe(self._inventory.add_rows(self._table, laid_by), self._loop).result()
        except RepeatedRowError:
            self.repeated = True
