"""Which problems of one source stand, kept in step with the inventory (promise P8). For the event loop alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from syncd.model import Problem, ProblemCode
from syncd.sources.tree import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from syncd.sources.base import Inventory

_BATCH = 1000


class ProblemBook:
    """The standing problems of one source. Changes are gathered and written by :meth:`flush`.

    Args:
        source: Its name.
        inventory: Where problems are made durable.
        clock: The time, time-zone-aware.
    """

    def __init__(self, source: str, inventory: Inventory, clock: Callable[[], datetime]) -> None:
        self._source, self._inventory, self._clock = source, inventory, clock
        self._standing: dict[str, tuple[ProblemCode, str] | None] = {}  # None: of an earlier run, and not met again yet
        self._listings: list[set[str]] = []  # of each listing under way, what it has not met again yet
        self._to_set: dict[str, Problem] = {}
        self._to_clear: set[str] = set()

    async def load(self) -> None:
        """Take over what stands from an earlier run."""
        for path in await asyncio.to_thread(self._inventory.problem_paths, self._source):
            self._standing.setdefault(path, None)

    def counts(self) -> Mapping[str, int]:
        """Return how many problems stand, by code."""
        return Counter(said[0].value for said in self._standing.values() if said is not None)

    def stands(self, path: str) -> bool:
        """Return whether a path has a problem."""
        return shown(path) in self._standing

    def note(self, path: str, code: ProblemCode, detail: str) -> bool:
        """Add or replace the problem of a path; return whether it is a new one."""
        key, before = shown(path), self._standing.get(shown(path))
        self._standing[key] = code, detail
        for unmet in self._listings:
            unmet.discard(key)
        self._to_clear.discard(key)
        if before != (code, detail):  # else it stands as it is, and nothing need be written
            self._to_set[key] = Problem(source=self._source, path=key, code=code, detail=detail, since=self._clock())
        return before is None or before[0] != code

    def clear(self, path: str) -> None:
        """Remove the problem of a path, if it has one."""
        if self._standing:
            self._clear(shown(path))

    def clear_below(self, directory: str) -> None:
        """Remove the problems of all paths below a directory ("a/b/"), and of itself."""
        below = shown(directory) if self._standing else ""
        for path in [path for path in self._standing if path.startswith(below) or path + "/" == below]:
            self._clear(path)

    def begin_listing(self, directory: str) -> set[str]:
        """Note that a directory is listed with all below it; what stands there must be met again.

        Returns:
            What ``end_listing`` takes.
        """
        below = shown(directory)
        unmet = {path for path in self._standing if path.startswith(below) or path + "/" == below}
        self._listings.append(unmet)
        return unmet

    def end_listing(
        self, unmet: set[str], *, complete: bool, unread: Iterable[str], keep: Callable[[str], bool]
    ) -> None:
        """Remove what was not met again by a complete listing.

        Args:
            unmet: What ``begin_listing`` returned.
            complete: Whether the listing came to its end; if not, everything stays.
            unread: Directories that could not be listed: what stands below them stays.
            keep: Whether the problem of a path stays anyway: a file that is still to be read.
        """
        self._listings = [listing for listing in self._listings if listing is not unmet]
        blind = tuple(shown(directory) for directory in unread)
        for path in unmet if complete else ():
            if not path.startswith(blind) and not keep(path):
                self._clear(path)

    async def flush(self) -> None:
        """Make the gathered changes durable."""
        while self._to_set:
            problems = [self._to_set.pop(path) for path in list(self._to_set)[:_BATCH]]
            await self._inventory.set_problems(self._source, problems)
        while self._to_clear:
            await self._inventory.clear_problems(
                self._source, [self._to_clear.pop() for _ in range(min(_BATCH, len(self._to_clear)))]
            )

    def _clear(self, key: str) -> None:
        if key in self._standing:
            del self._standing[key]
            self._to_set.pop(key, None)
            self._to_clear.add(key)
