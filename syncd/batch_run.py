"""One batch on its way to the staging branch: what is known of each of its changes so far."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from syncd.errors import NeedsPersonStoreError, StoreError, TransientStoreError
from syncd.journal.staging import UNKNOWN, Staged

if TYPE_CHECKING:
    from syncd.model import PendingChange
    from syncd.store.base import ObjectInfo

log = structlog.get_logger(__name__)

GIVE_UP_AFTER = 16  # transient failures in a row: the store is down, not one object odd


@dataclass(kw_only=True)
class BatchOutcome:
    """What became of a batch."""

    uploaded: int = 0
    copied: int = 0  # on the server, from what a commit holds under another name
    deleted: int = 0
    sent_bytes: int = 0
    changed_under_way: int = 0  # discarded; observed anew
    refused: int = 0  # objects that lakeFS did not take; each is named as a problem
    error: StoreError | None = None  # why the rest of the batch was given up

    def tell(self, number: int, why: str) -> None:
        """Say it in the log."""
        values = asdict(replace(self, error=None))
        del values["error"]
        if self.error is None:
            log.info("batch_staged", batch=number, why=why, **values)
        else:
            log.warning("batch_failed", batch=number, why=why, error=str(self.error), **values)


@dataclass
class BatchRun:
    """One batch on its way."""

    open: dict[str, PendingChange]  # nothing known of them yet
    done: list[Staged] = field(default_factory=list)  # known, and not in the journal yet
    failures: dict[str, StoreError] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)  # what the branch holds there may be neither as before nor as meant
    outcome: BatchOutcome = field(default_factory=BatchOutcome)
    failed_in_a_row: int = 0

    def succeeded(self, key: str, sha256: bytes | None, size_bytes: int | None) -> None:
        """Note what the branch holds now."""
        self.failed_in_a_row = 0
        del self.open[key]
        self.done.append(Staged(key=key, sha256=sha256, size_bytes=size_bytes, sent=True))

    def failed(self, key: str, error: StoreError) -> None:
        """Note a failure; give the batch up where the store is what fails, not the object."""
        self.failures[key] = error
        self.failed_in_a_row += isinstance(error, TransientStoreError)
        if isinstance(error, NeedsPersonStoreError) or self.failed_in_a_row >= GIVE_UP_AFTER:
            self.outcome.error = self.outcome.error or error

    def untouched(self, change: PendingChange) -> Staged:
        """Return what stands for a change that was not sent, or whose request failed without a word."""
        known = change.key not in self.failures and change.key not in self.doubtful
        return Staged(
            key=change.key,
            sha256=change.staged if known else UNKNOWN,
            size_bytes=change.staged_bytes if known else None,
            sent=False,
            offered=content_of(change),
        )


def content_of(change: PendingChange) -> bytes | None:
    """Return the SHA-256 that a change wants on the branch; None: nothing."""
    return None if change.fingerprint is None else change.fingerprint.sha256


def held(change: PendingChange, info: ObjectInfo | None) -> tuple[bytes | None, int | None]:
    """Return the SHA-256 and size of what the branch holds, as far as its answer can be believed."""
    if info is None:
        return None, None
    sent = change.fingerprint
    lying = sent is not None and info.sha256 == sent.sha256 and info.etag != sent.md5.hex()
    if info.sha256 is None or lying:
        return UNKNOWN, None
    return info.sha256, info.size_bytes
