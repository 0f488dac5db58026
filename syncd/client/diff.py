"""What changed between two snapshots, as a program asks for it: paths, and the rows of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.errors import UsageError
from syncd.snapshots.table_comparison import TableComparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.client.facts import SnapshotFacts
    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.file_changes import Amount


class DiffFacts:
    """How much changed: known without reading what did."""

    def __init__(self, old: SnapshotFacts, new: SnapshotFacts, told: Comparison) -> None:
        self._told, self._names = told, (old.name, new.name)

    @property
    def stat(self) -> Mapping[str, Amount]:
        """Number of files and bytes "added", "changed", "removed" and "renamed"; objects of tables are among them."""
        return self._told.stat

    @property
    def tables(self) -> Mapping[str, TableComparison]:
        """Those that differ, by name: how many rows were added, changed, deleted, or why that is not known."""
        return {table.name: table for table in self._told.tables}

    def __bool__(self) -> bool:
        """Return whether anything changed."""
        return any(amount.files for amount in self.stat.values())

    def __repr__(self) -> str:
        said = ", ".join(f"{amount.files:,} {kind}" for kind, amount in self.stat.items() if amount.files)
        return f"<difference from {self._names[0]} to {self._names[1]}: {said or 'none'}>"

    def _table(self, name: str) -> TableComparison:
        """Return a table whose rows were compared; one that does not differ has none to tell."""
        table = self.tables.get(name) or TableComparison(name=name, kind="changed")
        if table.why:
            raise UsageError(f"rows of the table {name!r} cannot be compared", cause=table.why)
        if table.kind != "changed":
            verb, where = ("came", self._names[1]) if table.kind == "added" else ("went", self._names[0])
            raise UsageError(
                f"the table {name!r} {verb} as a whole between {self._names[0]} and {self._names[1]}",
                next_step=f"all its rows are in the table of {where}: snapshot.table({name!r})",
            )
        return table
