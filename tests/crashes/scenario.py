"""A small dataset, two snapshots of it, and a daemon that may end anywhere in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lakefs
from lakefs.client import Client
from mypy_boto3_s3 import S3Client

from syncd.embedded.process import ServerProcess
from syncd.service import control
from tests.crashes.witness import Tables, Witness
from tests.support.comparing import Reader
from tests.support.crashing_daemon import ForkedDaemon
from tests.support.daemon import Dataset, server_section, until

LEASE_S = 5.0  # what is left of a claim that was cut off in the middle has run out after this long
ROWS = {str(number): f"{'ab'[number % 2]}/{number}.png" for number in range(1, 7)}


class Scenario:
    """Six images with their rows; then one comes, one changes, one is renamed and one goes."""

    def __init__(self, directory: Path, server: ServerProcess, s3: S3Client, repository: str) -> None:
        directory.mkdir()
        self.dataset = Dataset(directory / "data", server_section(server, directory, repository))
        self.tables = Tables(directory)
        self.record = directory / "points"
        client = Client(host=server.endpoint, username=server.access_key_id, password=server.secret_access_key)
        self.witness = Witness(Reader(s3, repository), lakefs.Repository(repository, client=client))
        self.dataset.configure(
            source={"settle_seconds": 0.05},
            upload={"concurrency": 4},
            lakefs={"lease_seconds": LEASE_S},
            tables=self.tables.settings,
        )
        self.changed = False
        self.refused: list[str] = []  # why a snapshot was not taken
        self.change_back()

    def change_back(self) -> None:
        """Make everything what it was at the beginning."""
        for file in self.dataset.root.glob("*/*.png"):
            if str(file.relative_to(self.dataset.root)) not in ROWS.values():
                file.unlink()
        for image in ROWS.values():
            self._put(image, image.encode() * 9)
        self.tables.write(ROWS)

    def change(self) -> None:
        """Change of everything a little; once."""
        if self.changed:
            return
        self.changed = True
        root = self.dataset.root
        self._put("b/7.png", b"a new one")
        self._put(ROWS["1"], b"changed in place")
        (root / ROWS["2"]).rename(root / "a/renamed.png")
        (root / ROWS["3"]).unlink()
        kept = {key: image for key, image in ROWS.items() if key != "3"}
        self.tables.write({**kept, "2": "a/renamed.png", "7": "b/7.png"})

    def start_crashing(self, point: str | None) -> ForkedDaemon:
        """Start a daemon that ends at that point, or never, and records the points it passes."""
        return ForkedDaemon(self.dataset, point=point, record=self.record)

    def start_plain(self) -> ForkedDaemon:
        """Start a daemon that is syncd and nothing else."""
        return ForkedDaemon(self.dataset)

    def snapshot(self) -> dict[str, Any] | None:
        """Ask the newest daemon for a snapshot, from its start on; None if it ends before it has answered."""
        answer: dict[str, Any] = {}

        def answered_or_ended() -> bool:
            try:
                answer.update(self.dataset.snapshot())
            except (ConnectionError, FileNotFoundError):  # it does not listen yet, or has not made its directory
                return self.dataset.daemons[-1].exit_code is not None
            return True

        until(answered_or_ended, "a snapshot, or the end of the daemon", timeout_s=60)
        return answer or None

    def play(self) -> str:
        """Take two snapshots with a change in between; return the last tag, or nothing if the daemon ended."""
        if self.snapshot() is None:
            return ""
        self.change()
        answer = self.snapshot()
        return "" if answer is None else str(answer["tag"])

    def take(self) -> None:
        """P1 to P4: take a snapshot of what is there now, and hold it against the folder and the tables.

        A refusal is noted in ``refused``, and asked again: whether it goes on by itself is another question.
        """
        answer: dict[str, Any] = {}

        def answered() -> bool:
            try:
                answer.update(self.snapshot() or {"ended": True})
            except control.RemoteError as error:
                self.refused.append(str(error))
            return bool(answer)

        until(answered, "a snapshot that is not refused")
        assert "ended" not in answer, "the daemon ended"
        assert answer["left_out"] == []
        self.witness.assert_exact(answer["tag"], self.dataset.root, self.tables)
        self.witness.assert_nothing_twice(answer["tag"])
        self.witness.assert_all_paired()

    def points(self) -> list[str]:
        """Return the names of the points that were passed; the last one is where it ended, if it did."""
        return self.record.read_text().splitlines() if self.record.exists() else []

    def uploaded(self) -> int:
        """Return how many objects were sent, or copied, in batches that came to their end, over all daemons."""
        batches = [batch for daemon in self.dataset.daemons for batch in daemon.events("batch_staged")]
        return sum(int(batch["uploaded"]) + int(batch["copied"]) for batch in batches)

    def _put(self, path: str, content: bytes) -> None:
        file = self.dataset.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
