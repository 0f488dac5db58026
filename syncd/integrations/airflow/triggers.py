from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from syncd.errors import SyncdError, TransientStoreError
from syncd.integrations.airflow.outcome import is_final, is_newer
from syncd.integrations.airflow.place import Place
from syncd.snapshots.reference import UnknownSnapshotError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from syncd.client import aio

ERROR, FINAL, TIMED_OUT = "error", "final", "timed_out"  # the keys of an event that brings no snapshot
SHORTEST_PAUSE_S = 0.1


class SyncdSnapshotTrigger(BaseTrigger):
    """Fires once there is a snapshot newer than another one; for the sensor, and for operators of your own.

    Its event is what :class:`SyncdSnapshotOperator` passes on. An event with ``error``, a text, says why none came:
    ``timed_out``, or not; ``final``: another try cannot help before a person has changed something.

    Args:
        after: A tag or commit id; None: any snapshot will do.
        config: A configuration file on the triggerer's machine; None: where every command looks.
        lakefs_conn_id: An Airflow connection; it is looked up here, so that no secret is in the trigger's row.
        lakefs: Keys of the section ``[lakefs]``; no secret.
        poll_interval: Seconds between two looks.
        deadline: When to give up, in ISO 8601 with a time zone; None: never.

    Raises:
        UsageError: There is a secret among the keys.
    """

    def __init__(
        self,
        *,
        after: str | None = None,
        config: str | None = None,
        lakefs_conn_id: str | None = None,
        lakefs: Mapping[str, Any] | None = None,
        poll_interval: float = 60.0,
        deadline: str | None = None,
    ) -> None:
        super().__init__()
        self.after, self.poll_interval, self.deadline = after, poll_interval, deadline
        self._place = Place(config=config, lakefs_conn_id=lakefs_conn_id, lakefs=lakefs)
        self._known: aio.Snapshot | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class and its arguments, as they are stored until it fires."""
        return (
            "syncd.integrations.airflow.triggers.SyncdSnapshotTrigger",
            {
                "after": self.after,
                "config": self._place.config,
                "lakefs_conn_id": self._place.lakefs_conn_id,
                "lakefs": self._place.lakefs and dict(self._place.lakefs),
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event; a lakeFS that does not answer is asked again until the deadline."""
        try:
            event = await self._outcome()
        except SyncdError as error:
            event = {ERROR: str(error), FINAL: is_final(error)}
        yield TriggerEvent(event)

    async def _outcome(self) -> dict[str, Any]:
        trouble = ""
        async with await self._place.connect_async() as connection:
            while True:
                try:
                    if found := await self._look(connection):
                        return found.names()
                    trouble = ""
                except TransientStoreError as error:
                    trouble = error.fact
                    self.log.warning("lakeFS is asked again in %g s: %s", self.poll_interval, error)
                pause_s = self._pause_s()
                if pause_s <= 0:
                    return {ERROR: self._too_late(trouble), TIMED_OUT: True}
                await asyncio.sleep(pause_s)

    async def _look(self, connection: aio.Connection) -> aio.Snapshot | None:
        """Return the newest snapshot if it is new.

        Raises:
            UnknownSnapshotError: There is nothing that ``after`` names.
        """
        if self.after is not None and self._known is None:
            self._known = await connection.open(self.after)
        try:
            newest = await connection.open()
        except UnknownSnapshotError:
            return None
        return newest if is_newer(newest, self._known) else None

    def _pause_s(self) -> float:
        pause_s = max(self.poll_interval, SHORTEST_PAUSE_S)
        if self.deadline is None:
            return pause_s
        return min(pause_s, (datetime.fromisoformat(self.deadline) - datetime.now(UTC)).total_seconds())

    def _too_late(self, trouble: str) -> str:
        newer = f" newer than {self.after}" if self.after else ""
        return str(
            SyncdError(
                f"until {self.deadline} there was no snapshot{newer}",
                cause=f"lakeFS did not answer at last: {trouble}"
                if trouble
                else "nothing has changed, or no daemon runs",
                next_step="syncd status",
            )
        )
