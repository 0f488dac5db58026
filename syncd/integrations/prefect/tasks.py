"""A task that takes a snapshot, and when Prefect tries it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from syncd.errors import EXIT_LAKEFS_UNAVAILABLE, EXIT_SOURCE_UNAVAILABLE, AlreadyRunningError, SyncdError
from syncd.integrations.prefect.block import SyncdRepository

if TYPE_CHECKING:
    from syncd.client.facts import SnapshotFacts

_PASSING = {EXIT_SOURCE_UNAVAILABLE, EXIT_LAKEFS_UNAVAILABLE}
_MOST_NAMED = 10  # files left out that the log names; the result has all


async def another_try_may_help(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether a task failed for what may pass: lakeFS or the source does not answer, the daemon starts anew.

    For ``retry_condition_fn`` of tasks of your own, too. What waits for a person, a wrong configuration and a wrong
    argument are not tried again.
    """
    try:
        await state.aresult()
    except SyncdError as error:
        return error.exit_code in _PASSING or isinstance(error, AlreadyRunningError)
    except (ConnectionError, TimeoutError):
        return True
    except Exception:  # noqa: BLE001 - of whatever the task does besides
        return False
    return False


_OPTIONS: dict[str, Any] = {
    "name": "take-snapshot",
    "retries": 3,
    "retry_delay_seconds": [10, 30, 60],
    "retry_condition_fn": another_try_may_help,
    "cache_policy": NO_CACHE,  # the same arguments, another state of the folder
}


@task(**_OPTIONS)
def take_snapshot(
    repository: SyncdRepository | str | None = None,
    *,
    reason: str | None = None,
    timeout: float = 60.0,
    allow_held: bool = False,
) -> dict[str, Any]:
    """Take a snapshot of all that was in place before this task, and return its names.

    Another try is harmless: if nothing changed it is the same snapshot.

    Args:
        repository: A block, or the name of a saved one; None: found where every command of syncd looks.
        reason: Goes into the commit; None: it names the flow and its run.
        timeout: Seconds that files still changing are waited for, and a lakeFS that does not answer.
        allow_held: Make it without deletions that wait for a person, rather than fail.

    Returns:
        JSON-able: ``tag``, ``commit_id``, ``uri``, ``s3_uri``, ``digest``, ``created_at``, ``repository``, and
        ``left_out``, files that were still changing, with the reason.

    Raises:
        HeldError: Something waits for a person.
        SyncdError: No snapshot could be made; it says why, and what to do.
    """
    block = SyncdRepository.load(repository) if isinstance(repository, str) else repository or SyncdRepository()
    with block.snapshot(reason, timeout=timeout, allow_held=allow_held) as snapshot:
        return _told_of(snapshot)


@task(**_OPTIONS)
async def atake_snapshot(
    repository: SyncdRepository | str | None = None,
    *,
    reason: str | None = None,
    timeout: float = 60.0,  # noqa: ASYNC109 - the daemon's patience
    allow_held: bool = False,
) -> dict[str, Any]:
    """See :func:`take_snapshot`; for asynchronous flows."""
    block = await SyncdRepository.aload(repository) if isinstance(repository, str) else repository or SyncdRepository()
    async with await block.asnapshot(reason, timeout=timeout, allow_held=allow_held) as snapshot:
        return _told_of(snapshot)


def _told_of(snapshot: SnapshotFacts) -> dict[str, Any]:
    log = get_run_logger()
    log.info("snapshot %s, digest %s", snapshot.tag, snapshot.digest)
    if snapshot.left_out:
        named = "; ".join(f"{path}: {reason}" for path, reason in snapshot.left_out[:_MOST_NAMED])
        log.warning("%d files were still changing and are not in it: %s", len(snapshot.left_out), named)
    return snapshot.names()
