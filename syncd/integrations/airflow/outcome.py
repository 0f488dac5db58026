"""Which snapshot is the next one, and what Airflow is told where a task fails: whether to try again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from syncd.errors import ConfigError, HeldError, NeedsPersonStoreError, SyncdError, UsageError
from syncd.snapshots.arrow import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.client.facts import SnapshotFacts

_NEEDS_A_PERSON = (ConfigError, UsageError, HeldError, NeedsPersonStoreError, MissingExtraError)


def is_newer(newest: SnapshotFacts, known: SnapshotFacts | None) -> bool:
    """Return whether the newest snapshot is done, and was made after a commit that is known; None: there was none.

    A snapshot gets its tag last: until then it may be found, but has no name to be read by, and nothing that keeps it.
    """
    if newest.tag is None:
        return False
    return known is None or (newest.commit_id != known.commit_id and newest.created_at >= known.created_at)


def is_final(error: SyncdError) -> bool:
    """Return whether trying again cannot help before a person has changed something."""
    return isinstance(error, _NEEDS_A_PERSON)


@contextmanager
def errors_of_airflow() -> Iterator[None]:
    """Turn errors of syncd into those of Airflow, with the same text.

    Raises:
        AirflowFailException: A person has to change something first: Airflow does not try again.
        AirflowException: Another try may work: Airflow makes as many as the task has ``retries``.
    """
    try:
        yield
    except SyncdError as error:
        raise (AirflowFailException if is_final(error) else AirflowException)(str(error)) from error
