"""Airflow itself runs DAGs with syncd's operator and sensor, against the real daemon and a real lakeFS."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncd.snapshots.arrow import MissingExtraError
from tests.support.airflow_process import Airflow
from tests.support.daemon import Dataset

# one Airflow for all of them
pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.xdist_group("airflow")]

HERE = Path(__file__).parent
README = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
DEFERRED = "running trigger in line"


@pytest.fixture(scope="module")
def airflow(environment, tmp_path_factory):
    airflow = Airflow(environment("airflow"), tmp_path_factory.mktemp("airflow"))
    yield airflow
    airflow.end()


@pytest.fixture
def photos(dataset: Dataset) -> Dataset:
    """A folder with a few images; no daemon yet."""
    for number in range(8):
        (dataset.root / f"{number}.png").write_bytes(b"image %d" % number)
    return dataset


def connection(dataset: Dataset, **more: object) -> dict:
    """The environment in which Airflow knows a connection to the dataset's lakeFS."""
    section = dataset.sections["lakefs"]
    told = {
        "conn_type": "lakefs",
        "host": section["endpoint"],
        "login": section["access_key_id"],
        "password": Path(section["secret_access_key_file"]).read_text().strip(),
    }
    return {"AIRFLOW_CONN_LAKEFS_OF_THE_TEAM": json.dumps({**told, **more})}


def team(dataset: Dataset) -> dict:
    """What a run of a DAG needs that reads through the connection."""
    return {"environment": connection(dataset), "repository": dataset.sections["lakefs"]["repository"]}


def new_snapshot(dataset: Dataset, name: str = "new.png") -> dict:
    (dataset.root / name).write_bytes(name.encode())
    return dataset.snapshot()


@contextmanager
def growing(path: Path):
    """Write to a file all the time."""
    done = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.wait(0.01):
                file.write(b"more")

    with ThreadPoolExecutor() as pool:
        pool.submit(write)
        try:
            yield
        finally:
            done.set()


def test_the_readme_shows_the_example():
    assert f"```python\n{(HERE / 'airflow_example.py').read_text()}```" in README


def test_a_dag_takes_a_snapshot_and_its_next_task_reads_it(airflow, photos, versions):
    """P1: what was in place before the task is in the snapshot it names."""
    photos.start()
    example = (HERE / "airflow_example.py").read_text()
    (airflow.dags / "example.py").write_text(example.replace("/etc/syncd/syncd.toml", str(photos.config)))

    ran = airflow.run("train", file="example.py")

    assert ran["state"] == "success", airflow.said()
    told = ran["xcom"]["snapshot"]
    assert ran["xcom"]["train"] == f"trained on 8 images of {told['tag']}"
    assert versions.ref(told["tag"]).get_commit().id == told["commit_id"]
    repository = photos.sections["lakefs"]["repository"]
    assert told["repository"] == repository
    assert told["uri"] == f"lakefs://{repository}/{told['tag']}/"
    assert told["s3_uri"] == f"s3://{repository}/{told['tag']}/"
    assert re.fullmatch("[0-9a-f]{64}", told["digest"])
    assert told["left_out"] == []


def test_without_a_reason_the_commit_names_the_run_and_without_a_daemon_or_a_change_it_is_made_once(
    airflow, photos, versions
):
    conf = {"config": str(photos.config), "timeout": 30}
    first = airflow.run("bare", **conf)
    again = airflow.run("bare", **conf)

    assert (first["state"], again["state"]) == ("success", "success"), airflow.said()
    told = first["xcom"]["snapshot"]
    assert again["xcom"]["snapshot"] == told
    reason = f"Airflow: DAG bare, run {first['run_id']}, task snapshot"
    assert reason in versions.ref(told["tag"]).get_commit().metadata.values()


def test_a_file_that_is_still_being_written_is_named(airflow, photos):
    photos.start()
    photos.snapshot()
    with growing(photos.root / "growing.png"):
        ran = airflow.run("bare", config=str(photos.config), timeout="0.5")

    assert ran["state"] == "success", airflow.said()
    (left_out,) = ran["xcom"]["snapshot"]["left_out"]
    assert left_out["path"] == "growing.png"
    assert f"left out: growing.png ({left_out['reason']})" in airflow.said()


def test_what_waits_for_a_person_is_not_tried_again(airflow, photos):
    photos.configure(guard={"max_delete_percent": 10})
    for number in range(40):
        (photos.root / f"{number}.png").write_bytes(b"%d" % number)
    photos.start()
    photos.snapshot()
    for number in range(20):
        (photos.root / f"{number}.png").unlink()

    refused = airflow.run("held", config=str(photos.config), allow_held="false")
    said = airflow.said()
    allowed = airflow.run("held", config=str(photos.config), allow_held="true")

    assert refused["tasks"]["snapshot"] == {"state": "failed", "tries": 1}
    assert "syncd approve" in said
    assert allowed["state"] == "success", airflow.said()


def test_what_may_go_away_by_itself_is_tried_again(airflow, photos):
    shutil.rmtree(photos.root)

    ran = airflow.run("bare", config=str(photos.config), timeout=1)

    assert ran["tasks"]["snapshot"] == {"state": "failed", "tries": 2}
    assert str(photos.root) in airflow.said()


def test_a_sensor_leaves_the_worker_until_the_next_snapshot_is_there(airflow, photos):
    photos.start()
    before = photos.snapshot()

    outcome = airflow.begin("wait", **team(photos))
    airflow.wait_for(DEFERRED)
    made = new_snapshot(photos)
    ran = outcome()

    assert ran["state"] == "success", airflow.said()
    assert made["tag"] != before["tag"]
    assert ran["xcom"]["use"] == made["tag"]
    assert ran["xcom"]["next"]["commit_id"] == made["commit_id"]
    secret = json.loads(connection(photos)["AIRFLOW_CONN_LAKEFS_OF_THE_TEAM"])["password"]
    assert [row["after"] for row in ran["triggers"]][-1] == before["commit_id"]
    assert secret not in json.dumps(ran["triggers"])


def test_the_first_snapshot_of_all_is_one_to_wait_for(airflow, photos):
    outcome = airflow.begin("wait", **team(photos))
    airflow.wait_for(DEFERRED)
    photos.start()
    made = photos.snapshot()

    assert outcome()["xcom"]["use"] == made["tag"]


def test_a_lakefs_that_is_away_is_waited_for(airflow, make_dataset, own_lakefs_server):
    dataset = make_dataset(own_lakefs_server)
    (dataset.root / "first.png").write_bytes(b"first")
    dataset.start()
    dataset.snapshot()

    outcome = airflow.begin("wait", **team(dataset))
    airflow.wait_for(DEFERRED)
    own_lakefs_server.stop()
    airflow.wait_for("lakeFS is asked again")
    own_lakefs_server.start()
    made = new_snapshot(dataset)

    assert outcome()["xcom"]["use"] == made["tag"]


def test_a_snapshot_newer_than_a_named_one_may_be_there_already(airflow, photos):
    photos.start()
    first = photos.snapshot()
    second = new_snapshot(photos)

    ran = airflow.run("after", after=first["tag"], **team(photos))
    unknown = airflow.run("after", after="snap-nowhere", **team(photos))

    assert ran["xcom"]["next"]["tag"] == second["tag"]
    assert unknown["tasks"]["next"]["state"] == "failed"
    assert "no tag, commit or branch is called 'snap-nowhere'" in airflow.said()


def test_a_sensor_may_wait_in_its_worker(airflow, photos):
    photos.start()
    photos.snapshot()

    outcome = airflow.begin("poke", **team(photos))
    airflow.wait_for("waits for a snapshot newer than")
    made = new_snapshot(photos)
    ran = outcome()

    assert ran["xcom"]["next"]["tag"] == made["tag"]


def test_when_the_time_is_up_a_sensor_fails_or_is_skipped(airflow, photos):
    photos.start()
    photos.snapshot()

    ran = airflow.run("late", **team(photos))

    assert ran["tasks"] == {
        "next": {"state": "failed", "tries": 1},
        "poked": {"state": "failed", "tries": 1},
        "skipped": {"state": "skipped", "tries": 1},
    }
    assert "there was no snapshot newer than" in airflow.said()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"extra": "repository=photos"}, "the extra of the Airflow connection 'lakefs_of_the_team' is no JSON object"),
        ({"extra": '{"reposetory": "photos"}'}, "reposetory"),
        ({"password": "wrong"}, "401"),
    ],
)
def test_a_wrong_connection_is_named_and_not_tried_again(airflow, photos, wrong, said):
    ran = airflow.run("wait", **team(photos) | {"environment": connection(photos, **wrong)})

    assert ran["tasks"]["next"] == {"state": "failed", "tries": 1}
    assert said in airflow.said()


def test_an_operator_of_ones_own_may_use_the_trigger(airflow, photos):
    photos.start()
    made = photos.snapshot()

    ran = airflow.run("own", **team(photos))

    assert ran["xcom"]["any"]["tag"] == made["tag"]
    assert "no tag, commit or branch is called 'snap-nowhere'" in ran["xcom"]["unknown"]["error"]
    assert ran["xcom"]["unknown"]["final"] is False


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ('SyncdSnapshotOperator(task_id="a", lakefs={"secret_access_key": "x"})', "secret_access_key stands in a DAG"),
        ('SyncdSnapshotSensor(task_id="a", lakefs={"secret_access_key": "x"})', "secret_access_key stands in a DAG"),
        ('SyncdSnapshotTrigger(lakefs={"secret_access_key": "x"})', "secret_access_key stands in a DAG"),
        ('SyncdSnapshotSensor(task_id="a", deferrable=False, mode="reschedule")', "needs after=…"),
    ],
)
def test_what_cannot_work_is_refused_where_the_dag_is_read(airflow, task, said, tmp_path):
    file = tmp_path / "faulty.py"  # not among the others, which are read at each run
    file.write_text(f"from syncd.integrations.airflow import *\n{task}\n")

    assert said in airflow.run("faulty", file=str(file))["error"]


def test_without_airflow_it_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"needs Apache Airflow 3\.2 or newer") as raised:
        importlib.import_module("syncd.integrations.airflow")
    assert raised.value.next_step == "pip install 'syncd[airflow]'"
