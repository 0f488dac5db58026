"""One writer per staging branch, also from another host (promise P9).

The newest claim owns the branch. Its holder gives a sign of life now and then; a claim whose holder has given none for
as long as the lease lasts, watched by one's own clock, may be followed by a newer one. A holder trusts its claim for
half of that after a sign of life that was answered, and asks before its next effect when it is older.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING

import structlog

from syncd.errors import JournalError, NeedsPersonStoreError, NotFoundStoreError, StoreError, TransientStoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from syncd.store.base import Claim, LeaseStore

log = structlog.get_logger(__name__)

FILE_NAME = "lease.json"  # in the state directory: who this syncd is, and the claim it held last


def elapsed_s() -> float:
    """Return seconds since some moment, also those that the machine was asleep: another's clock goes on meanwhile."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseError(NeedsPersonStoreError):
    """Another syncd writes to the staging branch; this one must not."""

    def __init__(self, fact: str, *, cause: str = "", next_step: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(fact, cause=cause, next_step=next_step)
        self.retry_after_s = retry_after_s


class Lease:
    """The claim of one syncd on one staging branch.

    Args:
        store: Where claims are.
        branch: The staging branch, for people.
        source: A branch to create the claims' own branch from.
        state_dir: By it a syncd that was started again is known to be the same.
        lasts_s: How long a claim holds after its holder's last sign of life.
        monotonic: Seconds; those asleep count, as they do for others.
        clock: The time now, in UTC.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        branch: str,
        source: str,
        state_dir: Path,
        lasts_s: float,
        monotonic: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._branch, self._source, self._path = store, branch, source, state_dir / FILE_NAME
        self._lasts_s, self._monotonic, self._clock = lasts_s, monotonic, clock
        self._session = uuid.uuid4().hex
        self._id = ""  # of this state directory's syncd
        self._own: int | None = None  # generation of the claim that is ours
        self._since = ""
        self._beat = 0
        self._fresh_at = 0.0  # when the newest sign of life that was answered was sent
        self._watched: Claim | None = None  # the claim of another syncd
        self._watched_since = 0.0
        self._turn = asyncio.Lock()

    async def acquire(self) -> bool:
        """Take the branch; return whether another syncd may have held it since this one did last.

        Raises:
            LeaseError: Another one holds it.
            StoreError: lakeFS does not answer, or refuses.
            JournalError: The state directory cannot be written.
        """
        async with self._turn:
            sent_at = self._monotonic()
            await self._store.prepare(self._source)
            claims = await self._store.claims()
            newest = claims[-1] if claims else None
            self._id, last = await asyncio.to_thread(self._read)
            if newest is not None and _is_of(newest, self._id):
                generation = newest.generation
                was_others = last not in (0, generation)
            else:
                await asyncio.to_thread(self._write, last)  # so that a claim whose answer is lost is known again
                generation = await self._follow(newest)
                was_others = last > 0
            await asyncio.to_thread(self._write, generation)
            self._since = self._clock().isoformat()
            await self._store.note(generation, self._note())
            self._own, self._fresh_at = generation, sent_at
            for claim in claims:
                if claim.generation < generation:
                    await self._store.forget(claim.generation)
        log.info("lease_taken", branch=self._branch, generation=generation)
        return was_others

    async def check(self) -> None:
        """Return if this syncd may write now; asks lakeFS only if the last sign of life is old.

        Raises:
            LeaseError: Another one has taken the branch.
            StoreError: lakeFS does not answer.
        """
        if self._own is None or self._monotonic() - self._fresh_at > self._lasts_s / 2:
            async with self._turn:
                await self._renew()

    @property
    def held(self) -> bool:
        """Whether this syncd holds the branch, by its newest sign of life that was answered."""
        return self._own is not None and self._monotonic() - self._fresh_at <= self._lasts_s

    async def keep(self) -> None:
        """Give signs of life until cancelled."""
        while True:
            await asyncio.sleep(self._lasts_s / 4)
            if self._own is None:
                continue
            try:
                async with self._turn:
                    await self._renew()
            except LeaseError as error:
                log.warning("lease_lost", branch=self._branch, why=error.fact)
            except StoreError as error:
                log.debug("lease_not_renewed", branch=self._branch, error=str(error))

    async def release(self) -> None:
        """Let others take the branch at once."""
        own, self._own = self._own, None
        if own is None:
            return
        with contextlib.suppress(StoreError):  # then it runs out by itself
            claims = await self._store.claims()
            if claims and claims[-1].generation == own and claims[-1].note.get("session") == self._session:
                await self._store.note(own, {**self._note(), "released": "yes"})

    async def _renew(self) -> None:
        sent_at, own = self._monotonic(), self._own
        claims = await self._store.claims() if own is not None else []
        newest = claims[-1] if claims else None
        if own is None or newest is None or newest.generation != own or newest.note.get("session") != self._session:
            self._own = None
            raise self._lost(newest)
        self._beat += 1
        try:
            await self._store.note(own, self._note())
        except NotFoundStoreError as error:
            self._own = None
            raise self._lost(None) from error
        self._fresh_at = sent_at

    async def _follow(self, newest: Claim | None) -> int:
        """Take the generation after the newest claim, if its holder has let go or given no sign of life for long."""
        generation = 1 if newest is None else newest.generation + 1
        if newest is not None and not newest.note.get("released"):
            if newest != self._watched:
                self._watched, self._watched_since = newest, self._monotonic()
            silent_s = self._monotonic() - self._watched_since
            if silent_s < self._lasts_s:
                raise self._held(newest)
            log.warning("lease_taken_over", branch=self._branch, holder=_who(newest), silent_s=round(silent_s, 1))
        if not await self._store.claim(generation, self._id):
            raise TransientStoreError(f"another syncd was quicker to take the branch {self._branch}")
        return generation

    def _note(self) -> dict[str, str]:
        return {
            "id": self._id,
            "session": self._session,
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "since": self._since,
            "beat": str(self._beat),
        }

    def _held(self, claim: Claim) -> LeaseError:
        return LeaseError(
            f"another syncd writes to the branch {self._branch}: {_who(claim)}",
            cause="a staging branch belongs to one syncd",
            next_step="stop that one, and this one goes on by itself; if it died, that is"
            f" {self._lasts_s:g} s after its last sign of life. Or set lakefs.staging_branch to a branch of its own",
            retry_after_s=self._lasts_s / 4,
        )

    def _lost(self, newest: Claim | None) -> LeaseError:
        if newest is not None:
            return self._held(newest)
        return LeaseError(
            f"the lease of the branch {self._branch} is gone",
            cause="someone removed it, or another syncd uses a copy of this state directory",
            next_step="syncd takes it again by itself; where a state directory was copied, give each syncd its own",
            retry_after_s=self._lasts_s / 4,
        )

    def _read(self) -> tuple[str, int]:
        """Return who this syncd is, and the generation it held last: 0 if it never held one."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(self._path.read_text(encoding="utf-8"))
            return str(told["id"]), int(told["generation"])
        return uuid.uuid4().hex, 0

    def _write(self, generation: int) -> None:
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps({"id": self._id, "generation": generation}), encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            raise JournalError(
                f"{self._path} cannot be written: {error.strerror}",
                cause="permissions, or a full or read-only disk under the state directory",
                next_step=f"df -h {self._path.parent} , then free some; syncd carries on by itself",
            ) from error


def _is_of(claim: Claim, mine: str) -> bool:
    """Return whether a claim was made with this id; one that was made just now says so by its content alone."""
    if claim.note.get("id"):
        return claim.note["id"] == mine
    return claim.made_by == hashlib.md5(mine.encode(), usedforsecurity=False).hexdigest()


def _who(claim: Claim) -> str:
    note = claim.note
    if not note.get("host"):
        return "one that has just taken it"
    return f"process {note.get('pid', '?')} on {note['host']}, since {note.get('since', '?')}"
