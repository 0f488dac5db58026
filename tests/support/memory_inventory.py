"""An inventory in memory, with a record of the calls; as strict as the journal about what it is given."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from syncd.model import SHA256_BYTES, split_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from syncd.model import Observation, Problem, Signature

MD5_BYTES = 16


class MemoryInventory:
    """Implements ``sources.base.Inventory``."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.live: dict[str, Observation] = {}
        self.history: list[Observation] = []  # changes of content and absences, in order
        self.recorded = 0  # observations, also those that changed nothing
        self.tables: dict[str, tuple[bytes, int, int]] = {}
        self.problems: dict[tuple[str, str], Problem] = {}
        self.listed: list[str] = []  # the directories that known_in was asked for
        self.fail_next: Exception | None = None
        self._names: dict[str, dict[str, Signature]] = {}  # directory -> name -> signature
        self._lock = threading.Lock()

    def known_in(self, directory: str) -> Iterator[tuple[str, Signature]]:
        assert directory.endswith("/")
        with self._lock:
            self.calls["known_in"] += 1
            self.listed.append(directory)
            found = sorted(self._names.get(directory, {}).items())
        return iter(found)

    def known(self, keys: Sequence[str]) -> Mapping[str, Signature]:
        for key in keys:
            key.encode()  # as SQLite would
        with self._lock:
            self.calls["known"] += 1
            found = {}
            for key in keys:
                directory, name = split_key(key)
                signature = self._names.get(directory, {}).get(name)
                if signature is not None:
                    found[key] = signature
            return found

    def known_below(self, directory: str) -> Iterator[str]:
        directory.encode()
        assert directory.endswith("/")
        with self._lock:
            self.calls["known_below"] += 1
            found = [at + name for at, names in self._names.items() if at.startswith(directory) for name in names]
        return iter(found)

    def known_directories(self, below: str) -> Iterator[str]:
        with self._lock:
            self.calls["known_directories"] += 1
            found = sorted(at for at, names in self._names.items() if at.startswith(below) and names)
        return iter(found)

    async def record(self, observations: Sequence[Observation]) -> None:
        if self.fail_next is not None:
            failure, self.fail_next = self.fail_next, None
            raise failure
        with self._lock:
            self.calls["record"] += 1
            for observation in observations:
                self._record(observation)

    async def record_table(self, name: str, observation: Observation, *, rows: int, columns: int) -> None:
        assert observation.fingerprint is not None
        await self.record([observation])
        self.tables[name] = (observation.fingerprint.sha256, rows, columns)

    async def set_problems(self, source: str, problems: Sequence[Problem]) -> None:
        self.calls["set_problems"] += 1
        for problem in problems:
            assert problem.source == source
            (problem.path + problem.detail).encode()
            self.problems[source, problem.path] = problem

    async def clear_problems(self, source: str, paths: Sequence[str]) -> None:
        self.calls["clear_problems"] += 1
        for path in paths:
            self.problems.pop((source, path), None)

    def problem_paths(self, source: str, below: str = "") -> set[str]:
        return {path for at, path in self.problems if at == source and path.startswith(below)}

    def contents(self) -> dict[str, bytes]:
        """Return the SHA-256 of each live key."""
        with self._lock:
            return {key: found.fingerprint.sha256 for key, found in self.live.items() if found.fingerprint}

    def codes(self) -> dict[str, str]:
        """Return the code of each standing problem, by path."""
        return {path: problem.code.value for (_, path), problem in self.problems.items()}

    def _record(self, observation: Observation) -> None:
        observation.key.encode()
        self.recorded += 1
        directory, name = split_key(observation.key)
        before = self.live.get(observation.key)
        if observation.fingerprint is None or observation.signature is None:
            self._names.get(directory, {}).pop(name, None)
            if self.live.pop(observation.key, None) is not None:
                self.history.append(observation)
            return
        assert len(observation.fingerprint.sha256) == SHA256_BYTES
        assert len(observation.fingerprint.md5) == MD5_BYTES
        self._names.setdefault(directory, {})[name] = observation.signature
        self.live[observation.key] = observation
        if before is None or before.fingerprint != observation.fingerprint:
            self.history.append(observation)
