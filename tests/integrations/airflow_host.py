"""Runs DAGs in Airflow's own Python, one after the other: its start takes longer than any of them.

A line on stdin says what: {"file": …, "dag_id": …, "conf": …, "environment": …, "reply": …}. The outcome is written to
the file ``reply``; what Airflow says goes to stdout.
"""

import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path

from airflow.models import Trigger
from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import select


def run(wanted):
    os.environ.update(wanted["environment"])
    dag = load(Path(wanted["file"]), wanted["dag_id"])
    ran = dag.test(run_conf=wanted["conf"])
    with create_session() as session:
        tasks = ran.get_task_instances(session=session)
        values = session.scalars(select(XComModel).where(XComModel.run_id == ran.run_id))
        return {
            "state": str(ran.state),
            "run_id": ran.run_id,
            "tasks": {task.task_id: {"state": str(task.state), "tries": task.try_number} for task in tasks},
            "xcom": {one.task_id: one.value for one in values if one.key == "return_value"},
            "triggers": [{**trigger.kwargs} for trigger in session.scalars(select(Trigger))],
        }


def load(path, dag_id):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(value for value in vars(module).values() if getattr(value, "dag_id", None) == dag_id)


def main():
    initdb()
    for line in sys.stdin:
        wanted = json.loads(line)
        try:
            outcome = run(wanted)
        except Exception:  # noqa: BLE001 - the test is to see it
            outcome = {"error": traceback.format_exc()}
        written = Path(wanted["reply"] + ".part")
        written.write_text(json.dumps(outcome))
        written.rename(wanted["reply"])


if __name__ == "__main__":
    main()
