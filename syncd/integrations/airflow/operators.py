from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from syncd.errors import UsageError
from syncd.integrations.airflow.outcome import errors_of_airflow
from syncd.integrations.airflow.place import Place, refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import ClassVar

    from airflow.sdk import Context

MOST_NAMED = 10  # files left out that a log line names; XCom has all
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


class SyncdSnapshotOperator(BaseOperator):
    """Take a snapshot of all that was in place before this task, and pass its names on.

    Run it where the daemon runs: it asks through the daemon's socket. Without a daemon it makes one pass by itself, and
    needs the folder. Another try is harmless: if nothing changed it is the same snapshot.

    Args:
        config: The daemon's configuration file; None: where every command looks. Templated, as all of these.
        reason: Goes into the commit; without one it names the DAG, the run and the task.
        timeout: Seconds that files still changing are waited for, and a lakeFS that does not answer.
        allow_held: Make it without deletions that wait for a person, rather than fail.
        lakefs_conn_id: An Airflow connection to lakeFS: host, login (key id), password (secret).
        lakefs: Keys of the section ``[lakefs]``, such as ``{"repository": "photos"}``; no secret.
    """

    template_fields: Sequence[str] = ("config", "reason", "timeout", "allow_held", "lakefs_conn_id", "lakefs")
    template_fields_renderers: ClassVar[dict[str, str]] = {"lakefs": "json"}

    def __init__(
        self,
        *,
        config: str | None = None,
        reason: str | None = None,
        timeout: float | str = 60.0,
        allow_held: bool | str = False,
        lakefs_conn_id: str | None = None,
        lakefs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_secrets(lakefs)
        self.config, self.lakefs_conn_id, self.lakefs = config, lakefs_conn_id, lakefs
        self.reason, self.timeout, self.allow_held = reason, timeout, allow_held

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the names of the snapshot, and as ``left_out`` the files that were still changing.

        Raises:
            AirflowFailException: A person has to do something first, as where deletions are held.
            AirflowException: No snapshot could be made; another try may work.
        """
        place = Place(config=self.config, lakefs_conn_id=self.lakefs_conn_id, lakefs=self.lakefs)
        with errors_of_airflow(), place.connect() as connection:
            snapshot = connection.snapshot(
                self.reason or _reason(context), timeout=_seconds(self.timeout), allow_held=_truth(self.allow_held)
            )
            told = snapshot.names()
        self.log.info("snapshot %s", told["uri"])
        if left_out := snapshot.left_out:
            named = ", ".join(f"{path} ({reason})" for path, reason in left_out[:MOST_NAMED])
            self.log.warning(
                "left out: %s%s", named, f" and {more:,} more" if (more := len(left_out) - MOST_NAMED) > 0 else ""
            )
        return told


def _reason(context: Context) -> str:
    task = context["ti"]
    return f"Airflow: DAG {task.dag_id}, run {task.run_id}, task {task.task_id}"


def _seconds(value: float | str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"timeout is {value!r}, which is no number of seconds") from error


def _truth(value: bool | str) -> bool:
    try:
        return value if isinstance(value, bool) else _TRUTHS[value.strip().lower()]
    except KeyError as error:
        raise UsageError(f"allow_held is {value!r}", next_step="say True or False") from error
