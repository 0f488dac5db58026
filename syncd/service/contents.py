"""Opens what is behind a key, whichever source it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from syncd.errors import LostBodyError
from syncd.journal import closure
from syncd.model import TABLES, source_of
from syncd.sources.tables.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from syncd.gate import Gate
    from syncd.journal import Journal
    from syncd.sources.base import Source


class SourceContents:
    """Implements ``uploader.Contents`` over the sources, and the gate that writes what does not fit.

    Args:
        sources: Those that are configured.
        gate: Has the lists.
        journal: Knows what is to be sent of a table that is not configured any more.
        spools: The directory with those tables' spools, too, by name.
    """

    def __init__(self, sources: Sequence[Source], gate: Gate, journal: Journal, spools: Path) -> None:
        self._by_name = {source.name: source for source in sources}
        self._gate, self._journal, self._spools = gate, journal, spools

    def open(self, key: str) -> BinaryIO:
        """Open the file behind a key; see ``Source.open``.

        Raises:
            LostBodyError: Its table is not configured any more, and has left no body of it.
        """
        owner = self._owner(key)
        return self._left_behind(key) if owner is None else owner.open(key)

    def recheck(self, key: str) -> None:
        """Ask the key's source to look again."""
        owner = self._owner(key)
        if owner is not None:
            owner.recheck(key)

    def _owner(self, key: str) -> Source | Gate | None:
        name = source_of(key)
        return self._gate if key == closure.key_of(name) else self._by_name.get(name)

    def _left_behind(self, key: str) -> BinaryIO:
        name, sha256 = source_of(key), self._journal.seen_sha256(key)
        if sha256 is None:
            raise FileNotFoundError(key)
        try:
            return Spool(self._spools / name).open(sha256)
        except FileNotFoundError:
            raise _lost(key, name) from None


def _lost(key: str, name: str) -> LostBodyError:
    back = f"put the table {name} back into the configuration until a snapshot holds it"
    if key == f"{TABLES}{name}.csv":
        return LostBodyError(
            f"the newest {key} cannot be sent: its table is not configured any more",
            cause="the version before is on the staging branch, and stays",
            next_step=f"{back}; if it is to stay as it is: start syncd anew after the next snapshot",
        )
    return LostBodyError(
        f"{key} cannot be sent: its table is not configured any more, and its body is gone from the state directory",
        cause="others of that version are on the staging branch, and nothing is published while a table is half there",
        next_step=back,
    )
