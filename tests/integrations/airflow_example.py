from airflow.sdk import DAG, task

import syncd
from syncd.integrations.airflow import SyncdSnapshotOperator

CONFIG = "/etc/syncd/syncd.toml"

with DAG("train", schedule="@daily") as dag:
    taken = SyncdSnapshotOperator(task_id="snapshot", config=CONFIG)

    @task
    def train(snapshot):
        with syncd.open(snapshot["repository"], snapshot["tag"], config=CONFIG) as data:
            images = {image.path: image.read() for image in data.images()}
        return f"trained on {len(images)} images of {snapshot['tag']}"

    train(taken.output)
