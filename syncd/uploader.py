"""Carries one batch to the staging branch: all puts, then the deletes.

The order of writing makes every crash harmless: first the journal says that these keys are under way and that
nobody knows what the branch holds there; then the effects; then what came of them. Memory follows the
concurrency: small bodies are read just ahead of the senders, large ones are streamed from their files.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

import structlog

from syncd.bodies import Loaded, chunks, load
from syncd.errors import ContentChangedStoreError, NeedsPersonStoreError, StoreError, TransientStoreError
from syncd.journal.staging import UNKNOWN, Staged
from syncd.model import IMAGES, Problem, ProblemCode, source_of
from syncd.planner.backoff import retry_object_in
from syncd.store.content_type import content_type

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from syncd.bodies import Contents
    from syncd.journal import Journal
    from syncd.model import PendingChange
    from syncd.planner.facts import Stage
    from syncd.store.base import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)

ACKNOWLEDGE_EVERY = 250  # outcomes to one journal transaction
GIVE_UP_AFTER = 16  # transient failures in a row: the store is down, not one object odd
CHANGING_PAUSE = timedelta(seconds=1)  # before a file that changed is tried again, should the source not speak up
AT_ONCE = 3  # a transient failure is tried again so often before the object has to wait


@dataclass(kw_only=True)
class BatchOutcome:
    """What became of a batch."""

    uploaded: int = 0
    deleted: int = 0
    sent_bytes: int = 0
    changed_under_way: int = 0  # discarded; observed anew
    refused: int = 0  # objects that lakeFS did not take; each is named as a problem
    error: StoreError | None = None  # why the rest of the batch was given up


class Uploader:
    """Stages batches, one at a time."""

    def __init__(
        self,
        *,
        journal: Journal,
        objects: ObjectStore,
        contents: Contents,
        check_branch: Callable[[], Awaitable[object]],
        prefix: str,
        concurrency: int,
        clock: Callable[[], datetime],
        progress: Callable[[int, int], None] = lambda _objects, _bytes: None,
    ) -> None:
        """Keep the parts.

        Args:
            journal: Written before and after each effect.
            objects: The staging branch.
            contents: Opens what is to be sent.
            check_branch: Raises if the staging branch is gone; lakeFS calls deletes on a missing branch a success.
            prefix: Put in front of every key.
            concurrency: Requests in flight.
            clock: The time now, in UTC.
            progress: Called with the objects and bytes that were acknowledged since the last call.
        """
        self._journal, self._objects, self._contents = journal, objects, contents
        self._check_branch, self._prefix, self._concurrency = check_branch, prefix, concurrency
        self._clock, self._progress = clock, progress
        self._stopping = False

    def stop(self) -> None:
        """Start no further request; what is in flight is awaited."""
        self._stopping = True

    async def stage(self, batch: Stage) -> BatchOutcome:
        """Send a batch and record what became of each of its changes.

        Cancelling is safe: what was in flight is not known, and due again.
        """
        changes = (*batch.puts, *batch.deletes)
        number = await self._journal.begin_batch(changes, self._clock())
        run = _Run({change.key: change for change in changes})
        await self._put_all(batch.puts, run)
        if batch.deletes and run.outcome.error is None and not self._stopping:
            await self._delete_all(batch.deletes, run)
        await self._find_out(run)
        await self._acknowledge(run, [run.untouched(change) for change in run.open.values()])
        await self._journal.end_batch(number, self._clock())
        _log_batch(number, run.outcome)
        return run.outcome

    async def _put_all(self, puts: Sequence[PendingChange], run: _Run) -> None:
        ready: asyncio.Queue[Loaded | None] = asyncio.Queue(maxsize=self._concurrency)
        senders = min(self._concurrency, len(puts))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(senders):
                    group.create_task(self._send(ready, run))
                for chunk in chunks(puts):
                    if self._stopping or run.outcome.error is not None:
                        break
                    for loaded in await asyncio.to_thread(load, self._contents, chunk):
                        await ready.put(loaded)
                for _ in range(senders):
                    await ready.put(None)
        finally:
            while not ready.empty():
                if (left := ready.get_nowait()) is not None:
                    left.close()

    async def _send(self, ready: asyncio.Queue[Loaded | None], run: _Run) -> None:
        while (loaded := await ready.get()) is not None:
            if self._stopping or run.outcome.error is not None:
                loaded.close()
            elif loaded.body is None:
                self._discard(loaded.change, run)
            else:
                await self._send_one(loaded, loaded.body, run)
            if len(run.done) >= ACKNOWLEDGE_EVERY:
                await self._acknowledge(run)

    async def _send_one(self, loaded: Loaded, body: bytes | BinaryIO, run: _Run) -> None:
        key, fingerprint = loaded.change.key, loaded.fingerprint
        try:
            await self._objects.put(self._prefix + key, body, fingerprint, content_type(key))
        except StoreError as error:
            run.failed(key, error)
        else:
            run.succeeded(key, fingerprint.sha256, fingerprint.size_bytes)
            if loaded.change.attempts:
                source, path = _source_and_path(key)
                await self._journal.clear_problems(source, [path])
            run.outcome.uploaded += 1
            run.outcome.sent_bytes += fingerprint.size_bytes
        finally:
            loaded.close()

    def _discard(self, change: PendingChange, run: _Run) -> None:
        """The file changed since it was observed: this content is never sent; the source looks again."""
        run.outcome.changed_under_way += 1
        untouched = run.untouched(run.open.pop(change.key))
        retry_at = self._clock() + CHANGING_PAUSE
        run.done.append(replace(untouched, changing=True, retry_at=retry_at))
        self._contents.recheck(change.key)

    async def _delete_all(self, deletes: Sequence[PendingChange], run: _Run) -> None:
        keys = [change.key for change in deletes]
        try:
            await self._check_branch()
        except StoreError as error:
            run.outcome.error = error
            return
        try:
            answer = await self._objects.delete([self._prefix + key for key in keys])
        except StoreError as error:
            for key in keys:
                run.failed(key, error)
            run.outcome.error = error
            return
        for key in keys:
            if (refusal := answer.failed.get(self._prefix + key)) is not None:
                run.failed(key, refusal)
            else:
                run.succeeded(key, None, None)
                run.outcome.deleted += 1

    async def _find_out(self, run: _Run) -> None:
        """Ask the branch what it holds at the keys whose request failed."""
        if run.outcome.error is not None:
            return  # it would not answer; they stay unknown, and due
        for key, error in run.failures.items():
            try:
                info = await self._objects.head(self._prefix + key)
            except StoreError as head_error:
                run.outcome.error = head_error
                return
            await self._note_failure(run.open.pop(key), info, error, run)

    async def _note_failure(self, change: PendingChange, info: ObjectInfo | None, error: StoreError, run: _Run) -> None:
        changing = isinstance(error, ContentChangedStoreError)
        retry_at = self._clock() + CHANGING_PAUSE if changing else self._retry_at(change, error)
        sha256, size_bytes = _held(change, info)
        run.done.append(
            Staged(
                key=change.key,
                sha256=sha256,
                size_bytes=size_bytes,
                sent=False,
                refused=not changing,
                changing=changing,
                retry_at=retry_at,
                offered=_content(change),
            )
        )
        if changing:
            run.outcome.changed_under_way += 1
            self._contents.recheck(change.key)
        elif retry_at is not None:
            await self._name_refusal(change, error, run)

    def _retry_at(self, change: PendingChange, error: StoreError) -> datetime | None:
        if isinstance(error, TransientStoreError) and change.attempts + 1 < AT_ONCE:
            return None
        return self._clock() + retry_object_in(change.attempts + 1)

    async def _name_refusal(self, change: PendingChange, error: StoreError, run: _Run) -> None:
        run.outcome.refused += 1
        source, path = _source_and_path(change.key)
        problem = Problem(source=source, path=path, code=ProblemCode.REFUSED, detail=str(error), since=self._clock())
        await self._journal.set_problems(source, [problem])

    async def _acknowledge(self, run: _Run, rest: Sequence[Staged] = ()) -> None:
        done, run.done = [*run.done, *rest], []
        if done:
            await self._journal.finish_in_batch(done, self._clock())
            sent = [outcome for outcome in done if outcome.sent]
            self._progress(len(sent), sum(outcome.size_bytes or 0 for outcome in sent))


@dataclass
class _Run:
    """One batch on its way."""

    open: dict[str, PendingChange]  # nothing known of them yet
    done: list[Staged] = field(default_factory=list)  # known, and not in the journal yet
    failures: dict[str, StoreError] = field(default_factory=dict)
    outcome: BatchOutcome = field(default_factory=BatchOutcome)
    failed_in_a_row: int = 0

    def succeeded(self, key: str, sha256: bytes | None, size_bytes: int | None) -> None:
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
        known = change.key not in self.failures
        return Staged(
            key=change.key,
            sha256=change.staged if known else UNKNOWN,
            size_bytes=change.staged_bytes if known else None,
            sent=False,
            offered=_content(change),
        )


def _content(change: PendingChange) -> bytes | None:
    return None if change.fingerprint is None else change.fingerprint.sha256


def _source_and_path(key: str) -> tuple[str, str]:
    return source_of(key), key.removeprefix(IMAGES)


def _held(change: PendingChange, info: ObjectInfo | None) -> tuple[bytes | None, int | None]:
    """Return the SHA-256 and size of what the branch holds, as far as its answer can be believed."""
    if info is None:
        return None, None
    sent = change.fingerprint
    lying = sent is not None and info.sha256 == sent.sha256 and info.etag != sent.md5.hex()
    if info.sha256 is None or lying:
        return UNKNOWN, None
    return info.sha256, info.size_bytes


def _log_batch(number: int, outcome: BatchOutcome) -> None:
    values = {
        "batch": number,
        "uploaded": outcome.uploaded,
        "deleted": outcome.deleted,
        "sent_bytes": outcome.sent_bytes,
        "changed_under_way": outcome.changed_under_way,
        "refused": outcome.refused,
    }
    if outcome.error is None:
        log.info("batch_staged", **values)
    else:
        log.warning("batch_failed", error=str(outcome.error), **values)
