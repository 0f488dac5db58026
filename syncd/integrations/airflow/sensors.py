from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout

from syncd.errors import TransientStoreError, UsageError
from syncd.integrations.airflow.outcome import errors_of_airflow, is_newer
from syncd.integrations.airflow.place import Place, refuse_secrets
from syncd.integrations.airflow.triggers import ERROR, FINAL, TIMED_OUT, SyncdSnapshotTrigger
from syncd.snapshots.reference import UnknownSnapshotError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import ClassVar

    from airflow.sdk import Context

    from syncd.client.facts import SnapshotFacts
    from syncd.client.sync import Connection

GRACE = timedelta(minutes=5)  # the trigger itself says when the time is up; Airflow does where no triggerer runs


class SyncdSnapshotSensor(BaseSensorOperator):
    """Wait for the next snapshot, and pass its names on as :class:`SyncdSnapshotOperator` does.

    It asks lakeFS and needs no daemon where it runs. Of several that were made meanwhile it is the newest. While it
    waits, ``deferrable`` leaves the worker to others; then the triggerer needs the configuration file, if one is named.

    Args:
        after: A tag or commit id: wait for one newer than this. None: than what is there when the task begins.
        config: A configuration file; None: where every command looks. Templated, as ``after`` and the next two.
        lakefs_conn_id: An Airflow connection to lakeFS: host, login (key id), password (secret).
        lakefs: Keys of the section ``[lakefs]``, such as ``{"repository": "photos"}``; no secret.
        deferrable: Wait in the triggerer, rather than in a worker.
        kwargs: Those of every sensor: ``poke_interval``, the seconds between two looks; ``timeout``; ``soft_fail`` …

    Raises:
        UsageError: ``mode="reschedule"`` without ``after``, or a secret among the keys.
    """

    template_fields: Sequence[str] = ("after", "config", "lakefs_conn_id", "lakefs")
    template_fields_renderers: ClassVar[dict[str, str]] = {"lakefs": "json"}

    def __init__(
        self,
        *,
        after: str | None = None,
        config: str | None = None,
        lakefs_conn_id: str | None = None,
        lakefs: Mapping[str, Any] | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_secrets(lakefs)
        if self.reschedule and not deferrable and after is None:
            raise UsageError(
                'mode="reschedule" needs after=…',
                cause="each look is a new process, which does not know what was there when the task began",
                next_step="leave deferrable=True, which frees the worker as well",
            )
        self.config, self.lakefs_conn_id, self.lakefs = config, lakefs_conn_id, lakefs
        self.after, self.deferrable = after, deferrable
        self._known: SnapshotFacts | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the next snapshot's names, once it is there.

        Raises:
            AirflowSensorTimeout: None came in time.
            AirflowFailException: A person has to do something first.
            AirflowException: lakeFS does not answer, or does not know ``after``; another try may work.
        """
        with errors_of_airflow(), self._place().connect() as connection:
            self._known = self._look_back(connection)
        self.log.info("waits for a snapshot newer than %s", self._known.name if self._known else "nothing")
        if self.deferrable:
            self.defer(
                trigger=SyncdSnapshotTrigger(
                    after=self._known.commit_id if self._known else None,
                    config=self.config,
                    lakefs_conn_id=self.lakefs_conn_id,
                    lakefs=self.lakefs,
                    poll_interval=self.poke_interval,
                    deadline=(datetime.now(UTC) + timedelta(seconds=self.timeout)).isoformat(),
                ),
                method_name="execute_complete",
                timeout=timedelta(seconds=self.timeout) + GRACE,
            )
        found: dict[str, Any] = super().execute(context)
        return found

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's signature
        """Look once. A lakeFS that does not answer is asked again."""
        with errors_of_airflow(), self._place().connect() as connection:
            try:
                newest = connection.open()
            except UnknownSnapshotError:
                return PokeReturnValue(is_done=False)
            except TransientStoreError as error:
                self.log.warning("lakeFS is asked again in %g s: %s", self.poke_interval, error)
                return PokeReturnValue(is_done=False)
            is_there = is_newer(newest, self._known)
            return PokeReturnValue(is_done=is_there, xcom_value=newest.names() if is_there else None)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as above
        """Go on after the trigger; returns and raises as :meth:`execute`."""
        if text := event.get(ERROR):
            if event.get(TIMED_OUT):
                raise AirflowSensorTimeout(text)
            raise (AirflowFailException if event.get(FINAL) else AirflowException)(text)
        return event

    def _look_back(self, connection: Connection) -> SnapshotFacts | None:
        """Return what the next snapshot has to be newer than; None: anything will do."""
        if self.after:
            return connection.open(self.after)
        try:
            return connection.open()
        except UnknownSnapshotError:
            return None

    def _place(self) -> Place:
        return Place(config=self.config, lakefs_conn_id=self.lakefs_conn_id, lakefs=self.lakefs)
