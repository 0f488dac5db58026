"""The DAGs of the tests. What differs from run to run comes with the run, through templates."""

from datetime import timedelta

from airflow.sdk import DAG, BaseOperator, task

from syncd.integrations.airflow import SyncdSnapshotOperator, SyncdSnapshotSensor, SyncdSnapshotTrigger

CONFIG = "{{ dag_run.conf['config'] }}"
AGAIN = {"retries": 1, "retry_delay": timedelta(0)}
LAKEFS = {"lakefs_conn_id": "lakefs_of_the_team", "lakefs": {"repository": "{{ dag_run.conf['repository'] }}"}}

with DAG("bare", schedule=None) as bare:
    SyncdSnapshotOperator(task_id="snapshot", config=CONFIG, timeout="{{ dag_run.conf['timeout'] }}", **AGAIN)

with DAG("held", schedule=None) as held:
    SyncdSnapshotOperator(
        task_id="snapshot", config=CONFIG, allow_held="{{ dag_run.conf['allow_held'] }}", reason="nightly", **AGAIN
    )

with DAG("wait", schedule=None) as wait:
    waiting = SyncdSnapshotSensor(task_id="next", poke_interval=0.2, timeout=90, **LAKEFS, **AGAIN)

    @task
    def use(snapshot):
        return snapshot["tag"]

    use(waiting.output)

with DAG("after", schedule=None) as after:
    SyncdSnapshotSensor(task_id="next", after="{{ dag_run.conf['after'] }}", poke_interval=0.2, timeout=90, **LAKEFS)

with DAG("poke", schedule=None) as poke:
    SyncdSnapshotSensor(task_id="next", deferrable=False, poke_interval=0.2, timeout=90, **LAKEFS)

with DAG("late", schedule=None) as late:
    SyncdSnapshotSensor(task_id="next", poke_interval=0.2, timeout=0.5, **LAKEFS, **AGAIN)
    SyncdSnapshotSensor(task_id="poked", deferrable=False, poke_interval=0.2, timeout=0.5, **LAKEFS, **AGAIN)
    SyncdSnapshotSensor(task_id="skipped", poke_interval=0.2, timeout=0.5, soft_fail=True, **LAKEFS)


class OwnOperator(BaseOperator):
    """Waits with the trigger, and passes its event on as it is."""

    template_fields = ("repository",)

    def __init__(self, *, after, repository, **kwargs):
        super().__init__(**kwargs)
        self.after, self.repository = after, repository

    def execute(self, context):  # noqa: ARG002
        lakefs = {"repository": self.repository}
        trigger = SyncdSnapshotTrigger(after=self.after, lakefs_conn_id="lakefs_of_the_team", lakefs=lakefs)
        self.defer(trigger=trigger, method_name="passed_on")

    def passed_on(self, context, event):  # noqa: ARG002
        return event


with DAG("own", schedule=None) as own:
    OwnOperator(task_id="any", after=None, repository=LAKEFS["lakefs"]["repository"])
    OwnOperator(task_id="unknown", after="snap-nowhere", repository=LAKEFS["lakefs"]["repository"])
