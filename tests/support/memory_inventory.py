"""An inventory in memory, with a record of the calls; as strict as the journal about what it is given."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from syncd.errors import RepeatedRowError
from syncd.fingerprint import listing_digest
from syncd.model import SHA256_BYTES, KnownObject, KnownTable, Observation, PairedLoss, ProblemCode, split_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from syncd.model import Agreed, FileRow, Problem, RowImage, Signature, TableObject, TableVersion

MD5_BYTES = 16


class MemoryInventory:
    """Implements ``sources.base.Inventory``."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.live: dict[str, Observation] = {}
        self.history: list[Observation] = []  # changes of content and absences, in order
        self.recorded = 0  # observations, also those that changed nothing
        self.tables: dict[str, tuple[bytes, int, int]] = {}  # SHA-256 of the first object, rows, columns
        self.versions: dict[str, TableVersion] = {}  # the newest of each table
        self.rows: dict[str, dict[str, RowImage]] = {}  # of the tables that keep them, by row key
        self.published: dict[str, list[tuple[datetime, int]]] = {}  # rows in snapshots, by table
        self.going: set[str] = set()  # images that are gone, and published as yet
        self.is_staged: Callable[[TableObject], bool] = lambda _: False
        self._incoming: dict[str, dict[str, RowImage]] = {}
        self.problems: dict[tuple[str, str], Problem] = {}
        self.listed: list[str] = []  # the directories that known_in was asked for
        self.fail_next: Exception | None = None
        self._names: dict[str, dict[str, Signature]] = {}  # directory -> name -> signature
        self._agreed: dict[str, tuple[bytes, list[FileRow]]] = {}
        self._lock = threading.Lock()

    def known_in(self, directory: str) -> Iterator[tuple[str, Signature]]:
        assert directory.endswith("/")
        with self._lock:
            self.calls["known_in"] += 1
            self.listed.append(directory)
            found = sorted(self._names.get(directory, {}).items())
        return iter(found)

    def listed_as(self, directory: str) -> bytes | None:
        with self._lock:
            digest, rows = self._agreed.get(directory, (None, None))
            return digest if rows == self._rows(directory) else None

    async def note_listed(self, found: Sequence[Agreed]) -> None:
        with self._lock:
            for one in found:
                rows = self._rows(one.directory)
                if listing_digest(rows) == one.kept:
                    self._agreed[one.directory] = (one.digest, rows)

    def _rows(self, directory: str) -> list[FileRow]:
        found = sorted(self._names.get(directory, {}).items())
        return [(name, one.mtime_ns, one.ctime_ns, one.size_bytes, one.inode) for name, one in found]

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

    def seen_sha256(self, key: str) -> bytes | None:
        with self._lock:
            found = self.live.get(key)
        return None if found is None or found.fingerprint is None else found.fingerprint.sha256

    async def record(self, observations: Sequence[Observation]) -> None:
        self._fail()
        with self._lock:
            self.calls["record"] += 1
            for observation in observations:
                self._record(observation)

    def known_table(self, name: str) -> KnownTable | None:
        with self._lock:
            self.calls["known_table"] += 1
            version = self.versions.get(name)
            if version is None:
                return None
            objects = tuple(KnownObject(found, staged=self.is_staged(found)) for found in version.objects)
        return KnownTable(
            name=name,
            objects=objects,
            rows=version.rows,
            columns=version.columns,
            schema=version.schema,
            keeps_rows=name in self.rows,
            read_at=version.observed_at,
        )

    def staged_images(self, keys: Collection[str]) -> set[str]:
        return {key for key in keys if key in self.live and self.live[key].fingerprint is not None}

    def misshown_parts(self, name: str) -> set[str]:
        rows = self.rows.get(name, {}).values()
        return {row.part for row in rows if row.shown != bool(self.staged_images([row.image or ""]))}

    def paired_loss(self, name: str, changed_parts: Sequence[str], *, counts_all: bool = False) -> PairedLoss:
        incoming, before = self._incoming.get(name, {}), self.rows.get(name, {})
        replaced = {key: row for key, row in before.items() if row.part in set(changed_parts) or key in incoming}
        after = {key: row for key, row in before.items() if key not in replaced} | incoming
        named_before, named_now = ({row.image for row in rows.values()} & self.live.keys() for rows in (before, after))
        return PairedLoss(
            sum(map(self._is_paired, replaced.values())) - sum(row.image in self.live for row in incoming.values()),
            len(named_before) - len(named_now),
            sum(key.startswith("images/") for key in self.live),
            sum(map(self._is_paired, before.values())) if counts_all else None,
        )

    def _is_paired(self, row: RowImage) -> bool:
        return row.image in self.live or (row.shown and row.image not in self.going)

    def published_rows(self, name: str, since: datetime) -> Sequence[tuple[datetime, int]]:
        found = self.published.get(name, [])
        older = [one for one in found if one[0] <= since]
        return [*older[-1:], *(one for one in found if one[0] > since)]

    async def begin_rows(self, name: str) -> None:
        self.calls["begin_rows"] += 1
        self._incoming.pop(name, None)

    async def add_rows(self, name: str, rows: Sequence[RowImage]) -> None:
        self._fail()
        self.calls["add_rows"] += 1
        incoming = dict(self._incoming.get(name, {}))
        for row in rows:
            (row.row_key + row.part + (row.image or "")).encode()
            if row.row_key in incoming:
                raise RepeatedRowError(f"table {name}: a row key came twice in one version")
            incoming[row.row_key] = row
        self._incoming[name] = incoming

    async def record_table(self, version: TableVersion, *, changed_parts: Sequence[str] | None) -> None:
        self._fail()
        name = version.name
        keys = {found.key for found in version.objects}
        live = {key for key in self.live if key == f"tables/{name}.csv" or key.startswith(f"tables/{name}/")}
        assert all(key == f"tables/{name}.csv" or key.startswith(f"tables/{name}/") for key in keys)
        assert f"tables/{name}/_closure.json" not in keys
        gone = sorted(live - keys - {f"tables/{name}/_closure.json"})
        with self._lock:
            self.calls["record_table"] += 1
            if changed_parts is None:
                self.rows.pop(name, None)
            else:
                self._replace_rows(name, {*changed_parts, *gone})
            self._incoming.pop(name, None)
            for found in version.objects:
                self._record(_observed(version, found.key, found))
            for key in gone:
                self._record(_observed(version, key, None))
            self.versions[name] = version
            self.tables[name] = (version.objects[0].fingerprint.sha256, version.rows, version.columns)

    def _replace_rows(self, name: str, parts: set[str]) -> None:
        incoming = self._incoming.get(name, {})
        if stray := {row.part for row in incoming.values()} - parts:
            raise ValueError(f"table {name}: rows of {min(stray)} came, which is not among the pieces that changed")
        stay = {key: row for key, row in self.rows.get(name, {}).items() if row.part not in parts}
        self.rows[name] = stay | incoming

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
        return {
            path
            for (at, path), problem in self.problems.items()
            if at == source and path.startswith(below) and problem.code is not ProblemCode.REFUSED
        }

    def contents(self) -> dict[str, bytes]:
        """Return the SHA-256 of each live key."""
        with self._lock:
            return {key: found.fingerprint.sha256 for key, found in self.live.items() if found.fingerprint}

    def codes(self) -> dict[str, str]:
        """Return the code of each standing problem, by path."""
        return {path: problem.code.value for (_, path), problem in self.problems.items()}

    def _fail(self) -> None:
        if self.fail_next is not None:
            failure, self.fail_next = self.fail_next, None
            raise failure

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


def _observed(version: TableVersion, key: str, found: TableObject | None) -> Observation:
    return Observation(
        key=key,
        fingerprint=found and found.fingerprint,
        signature=found and found.signature,
        observed_at=version.observed_at,
        reason=version.reason,
    )
