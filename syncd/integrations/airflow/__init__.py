"""Snapshots in Airflow 3: an operator that takes one, a sensor and its trigger that wait for the next.

>>> from syncd.integrations.airflow import SyncdSnapshotOperator
>>> snapshot = SyncdSnapshotOperator(task_id="snapshot", config="/etc/syncd/syncd.toml")

What each passes on, as XCom, is a dictionary: ``tag``, ``commit_id``, ``uri``, ``s3_uri``, ``digest``, ``created_at``,
``repository`` and ``left_out``.
"""

from __future__ import annotations

from syncd.snapshots.arrow import MissingExtraError

try:
    from syncd.integrations.airflow.operators import SyncdSnapshotOperator
    from syncd.integrations.airflow.sensors import SyncdSnapshotSensor
    from syncd.integrations.airflow.triggers import SyncdSnapshotTrigger
except ImportError as error:
    raise MissingExtraError(
        "syncd.integrations.airflow needs Apache Airflow 3.2 or newer, which cannot be imported",
        cause=f"it is not installed here, is older, or is broken: {error}",
        next_step="pip install 'syncd[airflow]'",
    ) from error

__all__ = ["SyncdSnapshotOperator", "SyncdSnapshotSensor", "SyncdSnapshotTrigger"]
