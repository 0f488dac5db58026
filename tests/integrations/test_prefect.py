"""Prefect itself runs flows with syncd's block and task, against the real daemon and a real lakeFS."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from syncd.snapshots.arrow import MissingExtraError
from tests.support.daemon import Dataset
from tests.support.prefect_process import Prefect

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.xdist_group("prefect")]

HERE = Path(__file__).parent
README = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def prefect(environment, tmp_path_factory):
    prefect = Prefect(environment("prefect"), tmp_path_factory.mktemp("prefect"))
    yield prefect
    prefect.end()


@pytest.fixture
def photos(dataset: Dataset) -> Dataset:
    """A folder with a few images; no daemon yet."""
    for number in range(8):
        (dataset.root / f"{number}.png").write_text(f"image {number}")
    return dataset


def content(dataset: Dataset) -> dict[str, str]:
    return {path.relative_to(dataset.root).as_posix(): path.read_text() for path in dataset.root.rglob("*.png")}


def test_the_readme_shows_the_example():
    assert f"```python\n{(HERE / 'prefect_example.py').read_text()}```" in README


def test_without_prefect_the_import_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"Prefect 3.*\n.*pip install 'syncd\[prefect\]'"):
        importlib.import_module("syncd.integrations.prefect")


def test_the_example_takes_a_snapshot_and_reads_it(prefect, photos, versions, tmp_path):
    """P1: what was in place before the task is in the snapshot it names."""
    photos.start()
    example = tmp_path / "example.py"
    text = (HERE / "prefect_example.py").read_text()
    example.write_text(text.replace("/etc/syncd/syncd.toml", str(photos.config)))
    said = prefect.ask("example", path=str(example))["said"]
    commit = versions.ref(said.removeprefix("trained on 8 images of ")).get_commit()
    assert commit.metadata["syncd.images"] == "8"
    assert commit.metadata["syncd.reason"].startswith("Prefect flow nightly, run ")


def test_flows_take_snapshots_and_their_next_tasks_read_them(prefect, photos, versions):
    """P1, again, and the secret of the block is nowhere in clear."""
    photos.start()
    secret = Path(photos.sections["lakefs"]["secret_access_key_file"]).read_text().strip()
    place = {key: photos.sections["lakefs"][key] for key in ("endpoint", "repository", "access_key_id")}
    prefect.ask("save", name="team", config=str(photos.config), secret_access_key=secret, **place)
    for flow in ("train", "atrain"):
        (photos.root / f"{flow}.png").write_text(flow)
        done = prefect.ask(flow, name="team")
        assert done["state"] == "COMPLETED", done
        taken = done["result"]["taken"]
        commit = versions.ref(taken["tag"]).get_commit()
        assert commit.metadata["syncd.reason"] == f"Prefect flow {flow}, run {done['run']}"
        assert taken == {
            "tag": taken["tag"],
            "commit_id": commit.id,
            "uri": f"lakefs://{place['repository']}/{taken['tag']}/",
            "s3_uri": f"s3://{place['repository']}/{taken['tag']}/",
            "digest": commit.metadata["syncd.digest"],
            "created_at": taken["created_at"],
            "repository": place["repository"],
            "left_out": [],
        }
        assert done["result"]["read"] == content(photos)
        assert not prefect.retries()
        assert f"snapshot {taken['tag']}, digest {taken['digest']}" in prefect.said()
        assert secret not in prefect.said()

    shown = prefect.ask("show", name="team")
    assert shown["secret"] == secret
    assert shown["tags"] == [taken["tag"]] * 5
    assert secret not in shown["repr"] + json.dumps(shown["api"])
    assert prefect.mentions("team"), "the database is there to be looked through"
    assert prefect.mentions(secret) == []


def test_what_waits_for_a_person_fails_at_once(prefect, photos, versions):
    photos.configure(guard={"max_delete_percent": 10})
    for number in range(32):
        (photos.root / f"more-{number}.png").write_text("more")
    photos.start()
    prefect.ask("save", name="photos", config=str(photos.config))
    assert prefect.ask("train", name="photos", reason="before")["state"] == "COMPLETED"
    for number in range(20):
        (photos.root / f"more-{number}.png").unlink()
    (photos.root / "new.png").write_text("new")
    for flow in ("train", "atrain"):
        held = prefect.ask(flow, name="photos", reason="held")
        assert (held["state"], held["error"], prefect.retries()) == ("FAILED", "HeldError", {})
        assert "20 of 40" in held["message"]
    passed = prefect.ask("train", name="photos", reason="held", allow_held=True)
    assert passed["result"]["read"]["new.png"] == "new"
    assert versions.ref(passed["result"]["taken"]["tag"]).get_commit().metadata["syncd.reason"] == "held"


def test_what_may_pass_is_tried_again_and_nothing_else(prefect, photos):
    prefect.ask("save", name="photos", config=str(photos.config))
    photos.configure(lakefs={"endpoint": "http://127.0.0.1:9"})
    away = prefect.ask("train", name="photos", timeout=0.5)
    assert (away["state"], prefect.retries()) == ("FAILED", {"take-snapshot": 2}), away
    photos.config.write_text(photos.config.read_text() + "nonsense = 1\n")
    wrong = prefect.ask("atrain", name="photos")
    assert (wrong["error"], prefect.retries()) == ("FaultyConfigError", {})
    prefect.ask("own", kinds=["away", "wrong", "own"])
    assert prefect.retries() == {"away": 2}


def test_without_a_block_it_is_found_where_commands_look(prefect, photos, versions):
    """And without a daemon the pass is made in the task; a block alone names the flow, too."""
    done = prefect.ask("train", name=None, environment={"SYNCD_CONFIG": str(photos.config)})
    assert done["result"]["read"] == content(photos)
    (photos.root / "new.png").write_text("new")
    prefect.ask("save", name="photos", config=str(photos.config))
    done = prefect.ask("without_task", name="photos")
    commit = versions.ref(done["result"]["taken"]["tag"]).get_commit()
    assert commit.metadata["syncd.reason"] == f"Prefect flow without-task, run {done['run']}"
