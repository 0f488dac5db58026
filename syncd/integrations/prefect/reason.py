"""What a snapshot's commit says of the flow that asked for it."""

from __future__ import annotations

from prefect.runtime import flow_run, task_run


def reason_of_run() -> str:
    """Return "Prefect flow train, run crimson-otter"; without a flow the task run's name, without either nothing."""
    if flow_run.id is not None:
        return f"Prefect flow {flow_run.flow_name}, run {flow_run.name}"
    return f"Prefect task {task_run.name}" if task_run.id is not None else ""
