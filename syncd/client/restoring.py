"""Restores a snapshot: into any folder, or into the source itself while the daemon holds its breath.

What is replaced or removed in the source is in a snapshot that is taken just before: what changes after that one is
newer than anyone knew of, and stays.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from syncd.client.breath import held_breath
from syncd.client.facts import SnapshotFacts
from syncd.client.keeping import keep, let_go
from syncd.client.taking import TakeOptions, take
from syncd.errors import PermanentStoreError, StoreError
from syncd.keys import is_folder_marker
from syncd.model import IMAGES, TABLES
from syncd.snapshots import manifest, putting
from syncd.snapshots.object_cache import ObjectCache
from syncd.snapshots.restore import Put, Removal, Restored, RestoreError, Restorer, Step
from syncd.snapshots.selection import areas_of, belongs
from syncd.store.base import ObjectInfo
from syncd.store.pages import pages
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from pathlib import Path

    from syncd.client.session import Session
    from syncd.config import Settings
    from syncd.snapshots.manifest import Entry
    from syncd.store.base import Difference, ObjectReader

_PAGE = 500
_NOT_REPLACED = "it is not as in the snapshot; --overwrite replaces it"
_NOT_REMOVED = "the snapshot does not hold it; --delete removes it"
_NOT_KNOWN = "syncd did not put it into lakeFS, and cannot tell what there should be"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """How a snapshot is restored.

    Args:
        paths: Files and folders of it, such as "images/cats"; none: all.
        overwrite: Replace files that are not as in the snapshot.
        delete: Into the source only: remove images that the snapshot does not hold.
        timeout: Seconds that files still changing are waited for, by the snapshots before and after.
        begun: Into the source only: called before anything there is changed, when what it holds is in a snapshot.
        progress: Called with what is done so far, often.
    """

    paths: Sequence[str] = ()
    overwrite: bool = False
    delete: bool = False
    timeout: float = 60.0
    begun: Callable[[IntoSource], None] = lambda _: None
    progress: Callable[[Restored], None] = lambda _: None


@dataclass(slots=True, kw_only=True)
class IntoSource:
    """What became of a snapshot that was restored into the source."""

    done: Restored
    before: str  # the tag of what was there
    pinned: bool = False  # it is kept whatever the keep rules say: it alone holds what is replaced and removed
    after: str = ""  # the tag of what is there now
    tables: list[str] = field(default_factory=list)  # that differ and cannot be put back


async def restore_to(session: Session, snapshot: SnapshotFacts, folder: Path, options: RestoreOptions) -> Restored:
    """Put a snapshot's files into a folder, among what is there: ``images/…``, ``tables/…``.

    Raises:
        UsageError: A path is none of the snapshot's.
        RestoreError: A file cannot be written.
        StoreError: lakeFS does not answer or refuses, or an object is damaged or gone.
    """
    done = Restored()
    async with session.in_use(snapshot.commit_id):
        areas = await areas_of(options.paths, snapshot._found, session.versions, session.settings.lakefs.prefix)  # noqa: SLF001 - of this room
        try:
            await in_thread_to_its_end(partial(folder.mkdir, parents=True, exist_ok=True))
        except OSError as error:
            raise RestoreError(f"{folder} cannot be made a folder: {error.strerror}") from error
        steps = _into_folder(session, snapshot, await asyncio.to_thread(folder.resolve), areas, options, done)
        await _carry_out(session, snapshot, steps, options, done)
    return done


async def restore_into_source(session: Session, snapshot: SnapshotFacts, options: RestoreOptions) -> IntoSource:
    """Make the source's images, and tables that are CSV files, as they are in a snapshot.

    The state before is taken as a snapshot first, and the state after at the end. In between nothing is published, so
    that no snapshot holds half of it. Images that are removed are agreed on with the deletion guard. The snapshot that
    alone holds what is replaced and removed is pinned, until a person unpins it.

    Raises:
        HeldError: Something waits for a person.
        UsageError: A path is none of the snapshot's.
        RestoreError: A file cannot be written.
        SyncdError: A snapshot cannot be taken, or lakeFS does not answer or refuses.
    """
    settings, pins = session.reader.settings, session.reader.pins
    async with session.in_use(snapshot.commit_id):  # the snapshot before has the keep rules applied
        areas = await areas_of(options.paths, snapshot._found, session.versions, settings.lakefs.prefix)  # noqa: SLF001 - as above
        asked = TakeOptions(reason=f"before {snapshot.name} is restored", timeout=options.timeout)
        before = await _found(session, await take(settings, asked))
        told = IntoSource(done=Restored(), before=before.name, pinned=options.overwrite or options.delete)
        made = told.pinned and await keep(pins, before, f"before {snapshot.name} was restored")
        options.begun(told)
        async with held_breath(settings, f"{snapshot.name} is being restored into the source") as breath:
            steps = _into_source(session, before, snapshot, areas, options, told)
            await _carry_out(session, snapshot, steps, options, told.done)
            removed = [IMAGES + path for path in told.done.removed_paths]
            await breath.agree(removed, patience=timedelta(seconds=options.timeout))
            answer = await breath.snapshot(replace(asked, reason=f"{snapshot.name} was restored"))
        told.after = (await _found(session, answer)).name
    if made and not (told.done.replaced or told.done.removed):
        with suppress(StoreError):  # it is kept without need
            await let_go(pins, before)
            told.pinned = False
    return told


async def _found(session: Session, answer: Mapping[str, Any]) -> SnapshotFacts:
    return SnapshotFacts(session.settings, await session.find(answer["tag"], None))


async def _carry_out(
    session: Session, snapshot: SnapshotFacts, steps: AsyncGenerator[Step], options: RestoreOptions, done: Restored
) -> None:
    settings = session.settings
    with ObjectCache(settings.pull.cache_dir, settings.pull.cache_bytes) as cache:
        await Restorer(
            objects=await session.objects(snapshot.commit_id),
            prefix=settings.lakefs.prefix,
            cache=cache,
            done=done,
            progress=options.progress,
        ).carry_out(steps)
        with suppress(OSError):  # all is in its place; whoever uses the cache next sees to that
            await in_thread_to_its_end(cache.evict)


async def _into_folder(
    session: Session,
    snapshot: SnapshotFacts,
    folder: Path,
    areas: Sequence[str],
    options: RestoreOptions,
    done: Restored,
) -> AsyncGenerator[Step]:
    """Yield what is missing in a folder or differs there; reads what is there."""
    prefix = session.settings.lakefs.prefix

    def look(wanted: Sequence[ObjectInfo]) -> list[Put]:
        return [step for one in wanted if (step := _step_into(folder, one, prefix, options, done)) is not None]

    for area in areas:
        async for page in pages(session.versions.objects(snapshot.commit_id, prefix + area), _PAGE):
            wanted = [one for one in page if belongs(one.key, prefix + area) and not is_folder_marker(one.key)]
            for step in await asyncio.to_thread(look, wanted):
                yield step


def _step_into(folder: Path, one: ObjectInfo, prefix: str, options: RestoreOptions, done: Restored) -> Put | None:
    """Return what puts an object into a folder; None: it is there, or is left, and counted."""
    path = one.key.removeprefix(prefix)
    try:
        entry = manifest.entry_of(one, prefix)
        there = putting.digest_of(folder / path)
    except PermanentStoreError as error:
        done.leave(path, error.fact)
    except putting.InTheWayError as error:
        done.leave(path, str(error))
    except OSError as error:
        done.leave(path, f"it cannot be read: {error.strerror}")
    else:
        if there is None or (options.overwrite and there != entry.sha256):
            return Put(entry=entry, folder=folder, path=path, expected=there)
        if there == entry.sha256:
            done.same += 1
        else:
            done.leave(path, _NOT_REPLACED)
    return None


async def _into_source(
    session: Session,
    before: SnapshotFacts,
    snapshot: SnapshotFacts,
    areas: Sequence[str],
    options: RestoreOptions,
    told: IntoSource,
) -> AsyncGenerator[Step]:
    """Yield what makes the source from what it was just before into the snapshot; costs what differs."""
    prefix, done = session.settings.lakefs.prefix, told.done
    places, had = _Places(session.settings), await session.objects(before.commit_id)
    for area in areas:
        async for one in session.versions.diff(before.commit_id, snapshot.commit_id, prefix + area):
            key = one.key.removeprefix(prefix)
            if not belongs(key, area) or is_folder_marker(one.key):
                continue
            place = places.of(key)
            if place is None:
                told.tables = sorted({*told.tables, TABLES + key.removeprefix(TABLES).partition("/")[0]})
            elif (why := _why_left(one, prefix, options)) is not None:
                done.leave(place[1], why)
            elif one.kind == "added":
                yield Put(entry=_entry(one, prefix), folder=place[0], path=place[1], expected=None)
            elif (expected := await _digest_before(one, had)) is None:
                done.leave(place[1], _NOT_KNOWN)
            elif one.kind == "removed":
                yield Removal(folder=place[0], path=place[1], expected=expected)
            else:
                yield Put(entry=_entry(one, prefix), folder=place[0], path=place[1], expected=expected)


def _why_left(one: Difference, prefix: str, options: RestoreOptions) -> str | None:
    """Return why a file of the source is left as it is, whatever is there; None: it is not."""
    try:
        key = _entry(one, prefix).path
    except PermanentStoreError as error:  # as it is someone else's object, it names no file that is to go
        return error.fact
    if one.kind == "removed" and not (options.delete and key.startswith(IMAGES)):
        return _NOT_REMOVED
    return _NOT_REPLACED if one.kind == "changed" and not options.overwrite else None


async def _digest_before(one: Difference, had: ObjectReader) -> bytes | None:
    """Return the SHA-256 of what was removed or changed; None: syncd did not write it."""
    if one.kind == "removed" and one.sha256 is not None:
        return one.sha256
    info = await had.head(one.key)
    return None if info is None else info.sha256


def _entry(one: Difference, prefix: str) -> Entry:
    info = ObjectInfo(key=one.key, size_bytes=one.size_bytes or 0, etag="", sha256=one.sha256)
    return manifest.entry_of(info, prefix)


class _Places:
    """Where in the source what a snapshot holds came from."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.source.root.resolve()
        self._texts = {
            f"{TABLES}{table.name}.csv": table.csv
            for table in settings.tables
            if table.csv is not None and table.published_as_csv and table.closure != "exclude"
        }

    def of(self, key: str) -> tuple[Path, str] | None:
        """Return a folder and a path below it; None for what syncd cannot write: databases, and what it made itself."""
        if key.startswith(IMAGES):
            return self._root, key.removeprefix(IMAGES)
        text = self._texts.get(key)
        return None if text is None else (text.parent.resolve(), text.name)
