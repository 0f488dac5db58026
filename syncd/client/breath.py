"""Keeps snapshots from being made while someone writes into the source, and tells the guard what they remove.

The daemon holds its breath for as long as the connection stands; where none runs, the state directory is held.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from syncd.client.taking import take
from syncd.journal import Journal, absence
from syncd.service import control
from syncd.service.engine import utc_now
from syncd.service.sources import make_sources
from syncd.service.state_dir import held as state_dir_held
from syncd.snapshots.restore import RestoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import timedelta

    from syncd.client.taking import TakeOptions
    from syncd.config import Settings

_KEYS_AT_A_TIME = 500  # of up to 1,024 bytes each, in a request of up to a mebibyte


class Breath(Protocol):
    """While it is held nothing is published."""

    async def agree(self, keys: Sequence[str], *, patience: timedelta) -> int:
        """Agree to the deletion of images that were just removed, by key; return how many are gone indeed.

        Raises:
            RestoreError: The daemon has stopped.
        """

    async def snapshot(self, options: TakeOptions) -> Mapping[str, Any]:
        """Take the snapshot that ends it: the next one there is, with all that was written. See ``taking.take``."""


@asynccontextmanager
async def held_breath(settings: Settings, why: str) -> AsyncIterator[Breath]:
    """Let nothing be published meanwhile.

    Args:
        settings: Say where the daemon listens.
        why: Shown by ``syncd status``.

    Raises:
        RemoteError: The daemon is of another version.
        AlreadyRunningError: Another syncd starts up or makes a pass just now.
    """
    state_dir = settings.service.state_dir
    async with AsyncExitStack() as stack:
        breath: Breath = _Daemon(settings)
        try:
            await stack.enter_async_context(control.borrowed(state_dir, "pause", why=f"{why} by process {os.getpid()}"))
        except ConnectionError:
            lock = stack.enter_context(ExitStack())
            lock.enter_context(state_dir_held(state_dir))
            breath = _NoDaemon(settings, lock)
        yield breath


class _Daemon:
    def __init__(self, settings: Settings) -> None:
        self._settings, self._state_dir = settings, settings.service.state_dir

    async def agree(self, keys: Sequence[str], *, patience: timedelta) -> int:
        agreed = 0
        for at in range(0, len(keys), _KEYS_AT_A_TIME):
            some, timeout_s = list(keys[at : at + _KEYS_AT_A_TIME]), patience.total_seconds()
            try:
                answer = await control.call(self._state_dir, "agree", keys=some, timeout_s=timeout_s)
            except ConnectionError as error:
                raise RestoreError(
                    "the daemon stopped while its source was restored",
                    cause="what was removed there is not agreed on, and no snapshot holds the new state yet",
                    next_step="start it; syncd approve agrees to what was removed; restore again for the rest",
                ) from error
            agreed += answer["agreed"]
        return agreed

    async def snapshot(self, options: TakeOptions) -> Mapping[str, Any]:
        return await take(self._settings, replace(options, ends_pause=True))


class _NoDaemon:
    """The lock is that of the state directory."""

    def __init__(self, settings: Settings, lock: ExitStack) -> None:
        self._settings, self._lock = settings, lock

    async def agree(self, keys: Sequence[str], *, patience: timedelta) -> int:
        if not keys:
            return 0
        async with Journal(self._settings.service.state_dir) as journal:
            images = make_sources(self._settings, journal, utc_now)[0]
            await images.scan_once(utc_now() + patience)
            return await journal.write(absence.agree, keys)

    async def snapshot(self, options: TakeOptions) -> Mapping[str, Any]:
        self._lock.close()  # nobody publishes by themselves where no daemon runs
        return await take(self._settings, options)
