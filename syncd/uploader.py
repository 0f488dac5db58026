"""Carries one batch to the staging branch: all puts, then the deletes.

The order of writing makes every crash harmless: first the journal says that these keys are under way and that
nobody knows what the branch holds there; then the effects; then what came of them. Memory follows the
concurrency: small bodies are read just ahead of the senders, large ones are streamed from their files.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from syncd.batch_run import BatchOutcome, BatchRun, content_of, held
from syncd.bodies import Loaded, Moved, chunks, divided, load
from syncd.errors import ContentChangedStoreError, StoreError, TransientStoreError
from syncd.journal.staging import Staged, copies
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
CHANGING_PAUSE = timedelta(seconds=1)  # before a file that changed is tried again, should the source not speak up
TRIES = 8  # a transient failure is tried again so often, with the loop's pauses, before it is taken for a refusal


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
            check_branch: Raises if the staging branch is gone or not as syncd left it; lakeFS calls deletes on a
                missing branch a success.
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

        Raises:
            StoreError: Nothing was sent: the branch is not as syncd left it, or cannot be asked.
        """
        await self._check_branch()
        begun = await self._journal.begin_batch((*batch.puts, *batch.deletes), self._clock())
        puts, deletes = ([one for one in kind if one.key not in begun.gone] for kind in (batch.puts, batch.deletes))
        run = BatchRun({change.key: change for change in (*puts, *deletes)})
        await self._put_all(puts, run)
        if deletes and run.outcome.error is None and not run.failures and not self._stopping:
            await self._delete_all(deletes, run)
        await self._find_out(run)
        run.done += [run.untouched(change) for change in run.open.values()]
        await self._acknowledge(run, ends=begun.number)
        run.outcome.tell(begun.number, batch.reason)
        return run.outcome

    async def _put_all(self, puts: Sequence[PendingChange], run: BatchRun) -> None:
        ready: asyncio.Queue[Moved | Loaded | None] = asyncio.Queue(maxsize=self._concurrency)
        senders = min(self._concurrency, len(puts))
        moved, to_send = divided(puts, await self._journal.read(copies, puts))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(senders):
                    group.create_task(self._send(ready, run))
                for one in moved:
                    await ready.put(one)
                for chunk in chunks(to_send):
                    if self._stopping or run.outcome.error is not None:
                        break
                    for loaded in await asyncio.to_thread(load, self._contents, chunk):
                        await ready.put(loaded)
                for _ in range(senders):
                    await ready.put(None)
        except ExceptionGroup as group:  # senders raise for the journal alone, and the first error says it all
            raise group.exceptions[0] from group
        finally:
            while not ready.empty():
                if (left := ready.get_nowait()) is not None:
                    left.close()

    async def _send(self, ready: asyncio.Queue[Moved | Loaded | None], run: BatchRun) -> None:
        while (one := await ready.get()) is not None:
            if self._stopping or run.outcome.error is not None:
                one.close()
                continue
            if isinstance(one, Moved) and not await self._copied(one, run):
                (one,) = await asyncio.to_thread(load, self._contents, [one.change])
            if isinstance(one, Loaded):
                await self._send_one(one, run)
            if len(run.done) >= ACKNOWLEDGE_EVERY:
                await self._acknowledge(run)

    async def _copied(self, moved: Moved, run: BatchRun) -> bool:
        """Have the server copy an object; return False if it is to be sent after all."""
        key, source = moved.change.key, moved.source
        try:
            await self._objects.copy(self._prefix + source, moved.reference, self._prefix + key, moved.fingerprint)
        except TransientStoreError as error:
            run.failed(key, error)
        except StoreError as error:  # what forbids a copy need not forbid an upload, and that will say what is wrong
            log.info("not_copied", key=key, source=source, error=str(error))
            run.doubtful.add(key)
            return False
        else:
            run.outcome.copied += 1
            run.succeeded(key, moved.fingerprint.sha256, moved.fingerprint.size_bytes)
        return True

    async def _send_one(self, loaded: Loaded, run: BatchRun) -> None:
        key, fingerprint = loaded.change.key, loaded.fingerprint
        if loaded.lost is not None:
            run.failed(key, loaded.lost)  # what the branch holds is found out
            return
        if loaded.body is None:
            self._discard(loaded.change, run)
            return
        try:
            await self._objects.put(self._prefix + key, loaded.body, fingerprint, content_type(key))
        except StoreError as error:
            run.failed(key, error)
        else:
            run.outcome.uploaded += 1
            run.outcome.sent_bytes += fingerprint.size_bytes
            run.succeeded(key, fingerprint.sha256, fingerprint.size_bytes)
        finally:
            loaded.close()

    def _discard(self, change: PendingChange, run: BatchRun) -> None:
        """The file changed since it was observed: this content is never sent; the source looks again."""
        run.outcome.changed_under_way += 1
        untouched = run.untouched(run.open.pop(change.key))
        retry_at = self._clock() + CHANGING_PAUSE
        run.done.append(replace(untouched, changing=True, retry_at=retry_at))
        self._contents.recheck(change.key)

    async def _delete_all(self, deletes: Sequence[PendingChange], run: BatchRun) -> None:
        keys = [change.key for change in deletes]
        try:
            if run.outcome.uploaded or run.outcome.copied:  # it was checked before them
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

    async def _find_out(self, run: BatchRun) -> None:
        """Ask the branch what it holds at the keys whose request failed."""
        if run.outcome.error is not None:
            return  # it would not answer; they stay unknown, and due
        busy: StoreError | None = None
        for key, error in run.failures.items():
            try:
                info = await self._objects.head(self._prefix + key)
            except StoreError as head_error:
                run.outcome.error = head_error
                return
            change = run.open.pop(key)
            if not await self._note_failure(change, info, error, run) and _is_busy(change, error):
                busy = error
        run.outcome.error = busy  # the server is left alone for a while, for as long as it asks

    async def _note_failure(
        self, change: PendingChange, info: ObjectInfo | None, error: StoreError, run: BatchRun
    ) -> bool:
        """Note what the branch holds after a failure; return whether it is what was to be there."""
        sha256, size_bytes = held(change, info)
        if sha256 == content_of(change):  # it was done all the same
            run.done.append(Staged(key=change.key, sha256=sha256, size_bytes=size_bytes, sent=True))
            return True
        changing = isinstance(error, ContentChangedStoreError)
        retry_at = self._clock() + CHANGING_PAUSE if changing else self._retry_at(change, error)
        run.done.append(
            Staged(
                key=change.key,
                sha256=sha256,
                size_bytes=size_bytes,
                sent=False,
                refused=not changing,
                changing=changing,
                retry_at=retry_at,
                offered=content_of(change),
            )
        )
        if changing:
            run.outcome.changed_under_way += 1
            self._contents.recheck(change.key)
        elif retry_at is not None:
            await self._name_refusal(change, error, run)
        return False

    def _retry_at(self, change: PendingChange, error: StoreError) -> datetime | None:
        tries = change.attempts + 1
        if isinstance(error, TransientStoreError):
            tries -= TRIES - 1
        return self._clock() + retry_object_in(tries) if tries > 0 else None

    async def _name_refusal(self, change: PendingChange, error: StoreError, run: BatchRun) -> None:
        """Name it as a problem; the journal ends that with the outcome that it was taken."""
        run.outcome.refused += 1
        source, path = source_of(change.key), change.key.removeprefix(IMAGES)
        problem = Problem(source=source, path=path, code=ProblemCode.REFUSED, detail=str(error), since=self._clock())
        await self._journal.set_problems(source, [problem])

    async def _acknowledge(self, run: BatchRun, *, ends: int | None = None) -> None:
        """Write down what is known by now; with the last of it, that the batch of this number has ended."""
        done, run.done = run.done, []
        if ends is not None:
            await self._journal.end_batch(ends, self._clock(), done)
        elif done:
            await self._journal.finish_in_batch(done, self._clock())
        if done:
            sent = [outcome for outcome in done if outcome.sent]
            self._progress(len(sent), sum(outcome.size_bytes or 0 for outcome in sent))


def _is_busy(change: PendingChange, error: StoreError) -> bool:
    """Return whether the server is to be left alone: it asks for that, or has failed at this object before."""
    if not isinstance(error, TransientStoreError) or change.attempts + 1 >= TRIES:
        return False
    return change.attempts > 0 or error.retry_after_s is not None
