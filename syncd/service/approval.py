"""What waits for a person, and their answer. It covers what they were shown, and nothing that came later."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from syncd.journal import Journal, absence, branch
from syncd.model import IMAGES, TABLES, source_of
from syncd.service.state_dir import held as state_dir_held
from syncd.sources.ignore import path_patterns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from syncd.config import Settings
    from syncd.service.engine import Engine

log = structlog.get_logger(__name__)

MOST_PATHS = 20  # shown


async def held(engine: Engine) -> dict[str, Any]:
    """Return what waits: ``images`` (None if none do), ``tables``, by name with what of it is held, and ``branch``."""
    tables = {source.name: hold for source in engine.sources if (hold := source.health().hold)}
    return {**await _held_in(engine.journal), "tables": tables}


async def _held_in(journal: Journal) -> dict[str, Any]:
    return {"images": await _held_images(journal), "tables": {}, "branch": await journal.read(branch.held)}


async def _held_images(journal: Journal) -> dict[str, Any] | None:
    gone = await journal.read(absence.gone, MOST_PATHS)
    if gone is None:
        return None
    return {"revision": gone.revision, "count": gone.count, "of": gone.images, "paths": list(gone.paths)}


async def approve(engine: Engine, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take an answer to what :func:`held` returned.

    Args:
        engine: Whose sources they are.
        request: ``revision`` (of the images shown, None: none were), ``tables`` (name to what was shown), ``branch``
            (what was said of it, or ""), ``only`` (gitignore patterns; [] takes all) and ``discard`` (images stay
            published instead).

    Returns:
        ``images``: how many; ``tables``: names; ``branch``: whether it may be taken over.
    """
    answer = await _answer(engine.journal, request)
    tables = []
    chosen = chooser(request["only"])
    for source in engine.sources:
        shown = request["tables"].get(source.name)
        if request["discard"] or not chosen(TABLES + source.name) or shown is None or shown != source.health().hold:
            continue
        if source.approve():
            tables.append(source.name)
            log.warning("approved", source=source.name, held=shown)
    engine.wake.set()
    return {**answer, "tables": tables}


async def agree(engine: Engine, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take the word of who removed images on purpose, so that the guard need not ask.

    Args:
        engine: Whose images they are.
        request: ``keys`` that were removed; ``timeout_s``, for files that are still changing.

    Returns:
        ``agreed``: how many of them are gone indeed.

    Raises:
        SourceUnavailableError: The folder cannot be read.
    """
    deadline = engine.clock() + timedelta(seconds=float(request["timeout_s"]))
    for source in engine.sources:
        if source.name == source_of(IMAGES):
            await source.barrier(deadline)  # only what was seen to be gone can be agreed on
    agreed = await engine.journal.write(absence.agree, request["keys"])
    log.warning("approved", source="images", images=agreed, why=engine.pauses.why)
    engine.wake.set()
    return {"agreed": agreed}


async def _answer(journal: Journal, request: Mapping[str, Any]) -> dict[str, Any]:
    taken = False
    if request["branch"] and not request["only"] and not request["discard"]:
        taken = await journal.write(branch.agree, request["branch"])
        log.warning("approved", source="branch", held=request["branch"])
    return {"images": await _answer_images(journal, request), "tables": [], "branch": taken}


async def _answer_images(journal: Journal, request: Mapping[str, Any]) -> int:
    if request["revision"] is None:
        return 0
    chosen, keep = chooser(request["only"]), bool(request["discard"])
    count = await journal.write(absence.answer, int(request["revision"]), chosen, keep=keep)
    log.warning("kept" if keep else "approved", source="images", images=count)
    return count


def chooser(only: list[str]) -> Callable[[str], bool]:
    """Return what tells whether a path is meant by gitignore patterns; all are where there are none.

    Raises:
        BadPatternError: One cannot be understood.
    """
    return path_patterns(only) if only else lambda _path: True


class NoDaemon:
    """The same over the journal alone, where no daemon runs: images and the branch can be answered, tables cannot.

    The state directory is held during each call.
    """

    def __init__(self, settings: Settings) -> None:
        self._state_dir = settings.service.state_dir

    async def held(self) -> dict[str, Any]:
        """See :func:`held`."""
        async with self._journal() as journal:
            return await _held_in(journal)

    async def approve(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """See :func:`approve`."""
        async with self._journal() as journal:
            return await _answer(journal, request)

    @asynccontextmanager
    async def _journal(self) -> AsyncIterator[Journal]:
        with state_dir_held(self._state_dir):
            async with Journal(self._state_dir) as journal:
                yield journal
