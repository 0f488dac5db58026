"""Snapshots in Prefect 3: a block that knows a repository, and a task that takes a snapshot of what syncd watches.

>>> from syncd.integrations.prefect import SyncdRepository, take_snapshot
>>> SyncdRepository(config="/etc/syncd/syncd.toml").save("photos")
>>> @flow
... def train():
...     taken = take_snapshot("photos")
...     return fit(taken["tag"])
"""

from __future__ import annotations

from syncd.snapshots.arrow import MissingExtraError

try:
    from syncd.integrations.prefect.block import SyncdRepository
    from syncd.integrations.prefect.tasks import another_try_may_help, atake_snapshot, take_snapshot
except ImportError as error:
    raise MissingExtraError(
        "syncd.integrations.prefect needs Prefect 3, which cannot be imported",
        cause=f"it is not installed here, is older, or is broken: {error}",
        next_step="pip install 'syncd[prefect]'",
    ) from error

__all__ = ["SyncdRepository", "another_try_may_help", "atake_snapshot", "take_snapshot"]
