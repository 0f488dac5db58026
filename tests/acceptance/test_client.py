"""The Python library against the real daemon and a real lakeFS: a snapshot in one line, from wherever."""

from __future__ import annotations

import asyncio
import concurrent.futures
import csv
import gc
import hashlib
import io
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import syncd
from syncd.client.opened import Opened
from syncd.client.place import settings_of
from syncd.embedded.process import ServerProcess
from syncd.errors import HeldError, NotFoundStoreError, UsageError
from syncd.snapshots.reference import UnknownSnapshotError
from syncd.snapshots.table_objects import UnknownTableError
from tests.support.comparing import folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

COUNT = 30


@pytest.fixture
def photos(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A running daemon with images in two folders, and a table that describes them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    labels = tmp_path / "labels.csv"
    for number in range(COUNT):
        path = dataset.root / ("cats" if number % 2 else "dogs") / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"image %d" % number)
    write_labels(labels, dataset.root)
    dataset.configure(tables=[{"name": "labels", "csv": str(labels), "key": "id", "image_column": "image"}])
    dataset.start()
    return dataset


def write_labels(path: Path, root: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "image", "label"])
        for number, image in enumerate(sorted(root.rglob("*.png"))):
            rows.writerow([number, image.relative_to(root).as_posix(), image.parent.name])


def read_all(snapshot: syncd.Snapshot) -> dict[str, bytes]:
    return {f"images/{image.path}": image.read() for image in snapshot.images()}


def test_one_line_gives_a_snapshot_whose_name_means_the_same_bytes_later(
    photos: Dataset, lakefs_server: ServerProcess
) -> None:
    with syncd.connect(photos.config) as daemon:
        first = daemon.snapshot(reason="train resnet50")
        assert first.metadata["syncd.reason"] == "train resnet50"
        before = folder(photos.root)
        again = daemon.snapshot()
        assert again == first, "nothing changed"
        until(lambda: datetime.now(UTC) >= first.created_at + timedelta(seconds=1), "commits' times are in seconds")
        (photos.root / "cats" / "01.png").write_bytes(b"another cat")
        (photos.root / "dogs" / "00.png").unlink()
        second = daemon.snapshot()
        assert second != first
        assert read_all(second) == folder(photos.root)
    # elsewhere: no configuration, no daemon's folder
    keys = {"access_key_id": lakefs_server.access_key_id, "secret_access_key": lakefs_server.secret_access_key}
    repository = first.uri.split("/")[2]
    with syncd.open(repository, first.tag, endpoint=lakefs_server.endpoint, **keys) as later:
        assert read_all(later) == before
        assert (later.commit_id, later.digest, later.metadata) == (first.commit_id, first.digest, first.metadata)
        assert later.uri == f"lakefs://{repository}/{first.tag}/"
        assert later.s3_uri == f"s3://{repository}/{first.tag}/"
        assert later == first
    assert syncd.open(config=photos.config).tag == second.tag, "the newest"
    assert syncd.open(config=photos.config, at=datetime.now(UTC)).tag == second.tag
    assert syncd.open(config=photos.config, at=first.created_at).tag == first.tag
    assert syncd.open(config=photos.config, ref=first.commit_id[:12]).tag == first.tag


def test_images_and_rows(photos: Dataset) -> None:
    with syncd.connect(photos.config) as daemon:
        snapshot = daemon.snapshot()
    paths = [image.path for image in snapshot.images()]
    assert paths == sorted(path.relative_to(photos.root).as_posix() for path in photos.root.rglob("*.png"))
    assert [image.path for image in snapshot.images("cats")] == [path for path in paths if path.startswith("cats/")]
    image = snapshot.image("cats/03.png")
    assert (image.size, image.sha256) == (7, hashlib.sha256(b"image 3").hexdigest())
    assert image.open().read() == image.read() == b"image 3"
    assert image.s3_uri == f"{snapshot.s3_uri}images/cats/03.png"
    assert image.row()["label"] == image.row("labels")["label"] == "cats"
    (table,) = snapshot.tables()
    assert (table.name, table.key, table.image_column, table.rows) == ("labels", "id", "image", COUNT)
    found = snapshot.table("labels")
    assert found.column_names == ["id", "image", "label"]
    assert found.column("image").to_pylist() == paths
    with pytest.raises(NotFoundStoreError, match=r"no image 'cats/99\.png'"):
        snapshot.image("cats/99.png")
    with pytest.raises(UnknownTableError, match="labels"):
        snapshot.table("label")
    with pytest.raises(UnknownTableError, match="labels"):
        image.row("label")


def test_pulled_into_a_folder(photos: Dataset, tmp_path: Path) -> None:
    with syncd.connect(photos.config) as daemon:
        first = daemon.snapshot()
        before = folder(photos.root)
        (photos.root / "cats" / "01.png").write_bytes(b"another cat")
        second = daemon.snapshot()
        counts: list[int] = []
        done = second.pull(tmp_path / "pulled", progress=lambda done: counts.append(done.placed_objects))
        assert (done.objects, done.fetched_objects) == (COUNT + 1, COUNT + 1)
        assert counts[-1] == COUNT + 1
        assert folder(tmp_path / "pulled" / "images") == folder(photos.root)
        assert first.pull(tmp_path / "pulled").fetched_objects == 1
        assert folder(tmp_path / "pulled" / "images") == before
        assert (tmp_path / "pulled" / "tables" / "labels.csv").read_bytes() == (tmp_path / "labels.csv").read_bytes()
        only = first.pull(tmp_path / "cats", paths=["images/cats", "tables/labels.csv"])
        assert (only.objects, only.fetched_objects) == (COUNT // 2 + 1, 0)
        with pytest.raises(UsageError, match="holds nothing called 'images/cows'"):
            first.pull(tmp_path / "cows", paths=["images/cows"])


def test_ctrl_c_in_a_pull_leaves_nothing_behind(photos: Dataset, tmp_path: Path) -> None:
    """Whoever sees the KeyboardInterrupt may pull again at once: nothing is half built, and nothing locked."""
    pressed = threading.Event()

    def press(_: object) -> None:
        if not pressed.is_set():
            pressed.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with syncd.connect(photos.config) as daemon:
        snapshot, target = daemon.snapshot(), tmp_path / "home" / "pulled"
        target.parent.mkdir()
        with pytest.raises(KeyboardInterrupt):
            snapshot.pull(target, progress=press)
        assert set(target.parent.iterdir()) <= {target}
        assert snapshot.pull(target).objects == COUNT + 1
        assert folder(target / "images") == folder(photos.root)


def test_what_changed_between_two(photos: Dataset) -> None:
    labels = Path(photos.sections["tables"][0]["csv"])
    with syncd.connect(photos.config) as daemon:
        first = daemon.snapshot()
        with first.diff(first) as nothing:
            assert not nothing
            assert (list(nothing.changes()), nothing.tables) == ([], {})
        (photos.root / "cats" / "01.png").write_bytes(b"another cat")
        (photos.root / "cats" / "03.png").rename(photos.root / "dogs" / "03.png")
        (photos.root / "dogs" / "00.png").unlink()
        (photos.root / "dogs" / "99.png").write_bytes(b"new")
        write_labels(labels, photos.root)
        second = daemon.snapshot()
        for other in (second, second.tag, "latest"):
            with first.diff(other) as changed:
                assert changed
                assert [(one.kind, one.path, one.old_path) for one in changed.changes()] == [
                    ("changed", "images/cats/01.png", None),
                    ("removed", "images/dogs/00.png", None),
                    ("renamed", "images/dogs/03.png", "images/cats/03.png"),
                    ("added", "images/dogs/99.png", None),
                    ("changed", "tables/labels.csv", None),
                ]
                assert {kind: amount.files for kind, amount in changed.stat.items()} == {
                    "added": 1, "changed": 2, "removed": 1, "renamed": 1
                }  # fmt: skip
                old, new = ({row["id"]: row for row in one.table("labels").to_pylist()} for one in (first, second))
                expected = {key for key, row in old.items() if row != new[key]}
                rows = list(changed.rows("labels"))
                assert {row.key for row in rows} == expected
                assert changed.tables["labels"].counts.changed == len(expected)
                for row in rows:
                    assert all(old[row.key][column] == value for column, value in row.old.items())
                    assert all(new[row.key][column] == value for column, value in row.new.items())
                assert list(changed.rows("boxes")) == [], "a table that does not differ"
        with second.diff(first) as back:
            assert back.stat["renamed"].files == 1
            assert {row.key for row in back.rows("labels")} == expected
        with pytest.raises(UnknownSnapshotError):
            first.diff("snap-of-nothing")


def test_snapshots_of_two_repositories_are_not_compared(photos: Dataset) -> None:
    with syncd.connect(photos.config) as daemon:
        snapshot = daemon.snapshot()
        with syncd.open(config=photos.config, ref=snapshot.tag) as same:
            assert not snapshot.diff(same)
        elsewhere = syncd.Snapshot(
            Opened(settings_of(photos.config, repository="other")), snapshot._found
        )  # fmt: skip
        with pytest.raises(UsageError, match="two repositories"):
            snapshot.diff(elsewhere)


_PROGRAM = """
import logging, sys
import syncd
if sys.argv[2] == "listens":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="heard %(name)s %(message)s")
with syncd.connect(sys.argv[1]) as here:
    print(here.snapshot().tag)
"""


def test_a_program_that_uses_it_hears_nothing_unless_it_listens(dataset: Dataset) -> None:
    """Without a daemon the pass is made in the program itself; what it prints stays its own."""
    (dataset.root / "a.png").write_bytes(b"a")
    for listens, expected in (("silent", ""), ("listens", "heard syncd.")):
        command = [sys.executable, "-c", _PROGRAM, str(dataset.config), listens]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert found.stdout.startswith("snap-")
        assert len(found.stdout.splitlines()) == 1
        assert (expected in found.stderr) if expected else found.stderr == ""
        (dataset.root / "b.png").write_bytes(b"b")


def test_an_unknown_name_is_answered_with_similar_ones(photos: Dataset) -> None:
    with syncd.connect(photos.config) as daemon:
        tag = daemon.snapshot().tag
        with pytest.raises(UnknownSnapshotError, match=tag) as unknown:
            daemon.open(tag[:-1])
        assert isinstance(unknown.value, syncd.SyncdError)
        with pytest.raises(UnknownSnapshotError, match="no snapshot yet at 2020"):
            daemon.open(at="2020-01-01")


def test_from_threads_a_running_loop_and_other_processes(photos: Dataset) -> None:
    with syncd.connect(photos.config) as daemon:
        snapshot = daemon.snapshot()
        expected = folder(photos.root)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            assert all(found == expected for found in threads.map(read_all, [snapshot] * 8))

        async def in_a_loop() -> dict[str, bytes]:
            return read_all(snapshot)

        assert asyncio.run(in_a_loop()) == expected
        image = snapshot.image("cats/01.png")
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as workers:
                assert list(workers.map(read_all, [snapshot] * 4)) == [expected] * 4, method
                assert workers.submit(image.read).result() == b"image 1"
        assert read_all(snapshot) == expected, "what the workers did is theirs"
        assert pickle.loads(pickle.dumps(snapshot)) == snapshot  # noqa: S301


def test_what_is_closed_ends(photos: Dataset) -> None:
    before = threading.active_count()
    open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with syncd.connect(photos.config) as daemon:
            read_all(daemon.snapshot())
        with syncd.open(config=photos.config) as snapshot:
            read_all(snapshot)
        read_all(syncd.open(config=photos.config))  # nobody closes it
    gc.collect()
    assert threading.active_count() <= before
    assert len(os.listdir("/proc/self/fd")) <= open_files + 2  # noqa: PTH208


def test_without_a_daemon_it_makes_one_pass_itself(dataset: Dataset) -> None:
    (dataset.root / "a.png").write_bytes(b"a")
    with syncd.connect(dataset.config) as here:
        assert read_all(here.snapshot()) == {"images/a.png": b"a"}
        (dataset.root / "a.png").write_bytes(b"b")
        second = here.snapshot(reason="once more")
        assert read_all(second) == {"images/a.png": b"b"}
        assert second.metadata["syncd.reason"] == "once more"


def test_without_a_daemon_and_a_server_it_starts_one(
    tmp_path: Path, lakefs_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default: whoever asks runs the embedded server, and the pass goes to that one."""
    monkeypatch.setenv("SYNCD_LAKEFS_BINARY", str(lakefs_binary))  # the home is empty, and building takes minutes
    dataset = Dataset(tmp_path / "data")
    (dataset.root / "a.png").write_bytes(b"a")
    with syncd.connect(dataset.config) as here:
        first = here.snapshot()
        assert read_all(first) == {"images/a.png": b"a"}
        (dataset.root / "a.png").write_bytes(b"b")
        assert read_all(here.snapshot()) == {"images/a.png": b"b"}
    told = dataset.json_of("restore", first.tag, "--into-source", "--overwrite")
    assert (told["replaced"], (dataset.root / "a.png").read_bytes()) == (1, b"a")

    async def once_more() -> syncd.aio.Snapshot:
        async with syncd.aio.connect(dataset.config) as there:
            return await there.snapshot()

    assert asyncio.run(once_more()).digest == first.digest


def test_without_a_daemon_and_a_folder_there_is_nothing_to_take(
    lakefs_server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    keys = {"access_key_id": lakefs_server.access_key_id, "secret_access_key": lakefs_server.secret_access_key}
    with (
        syncd.connect(repository="photos", endpoint=lakefs_server.endpoint, **keys) as nowhere,
        pytest.raises(UsageError, match="no daemon listens"),
    ):
        nowhere.snapshot()


def test_what_is_held_is_an_error_and_can_be_passed_over(dataset: Dataset) -> None:
    dataset.configure(guard={"max_delete_percent": 10})
    for number in range(40):
        (dataset.root / f"{number}.png").write_bytes(b"%d" % number)
    dataset.start()
    with syncd.connect(dataset.config) as daemon:
        daemon.snapshot()
        for number in range(20):
            (dataset.root / f"{number}.png").unlink()
        (dataset.root / "new.png").write_bytes(b"new")
        with pytest.raises(HeldError, match="gone from the source"):
            daemon.snapshot()
        assert "images/new.png" in read_all(daemon.snapshot(allow_held=True))


def test_the_readmes_examples_run(
    photos: Dataset,
    lakefs_server: ServerProcess,
    repository_name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    take, read = re.findall(r"```python\n(import syncd\n.*?)```", text, re.DOTALL)
    monkeypatch.chdir(photos.directory)
    exec(take, {})  # noqa: S102
    said = capsys.readouterr().out
    tag = said.split()[2].rstrip(",")
    assert folder(photos.directory / "data" / "images") == folder(photos.root)
    for name in ("endpoint", "access_key_id", "secret_access_key"):
        variable = {"endpoint": "SERVER_ENDPOINT_URL"}.get(name, f"CREDENTIALS_{name.upper()}")
        monkeypatch.setenv(f"LAKECTL_{variable}", getattr(lakefs_server, name))
    monkeypatch.chdir(photos.home)
    exec(read.replace("snap-20261123T093833Z-1", tag).replace('"photos"', f'"{repository_name}"'), {})  # noqa: S102
    said = capsys.readouterr().out.splitlines()
    assert len(said) == COUNT
    assert said[0].startswith(f"cats/01.png 7 {hashlib.sha256(b'image 1').hexdigest()} {{'id': '0'")


async def test_the_same_from_asynchronous_code(photos: Dataset, tmp_path: Path) -> None:
    async with syncd.aio.connect(photos.config) as daemon:
        snapshot = await daemon.snapshot(reason="train")
        found = {f"images/{image.path}": await image.read() async for image in snapshot.images()}
        assert found == folder(photos.root)
        image = await snapshot.image("cats/03.png")
        assert (await image.open()).read() == b"image 3"
        assert (await image.row())["label"] == "cats"
        assert (await snapshot.table("labels")).num_rows == COUNT
        assert [table.name for table in await snapshot.tables()] == ["labels"]
        assert (await snapshot.pull(tmp_path / "pulled")).objects == COUNT + 1
        (photos.root / "cats" / "01.png").unlink()
        write_labels(tmp_path / "labels.csv", photos.root)
        second = await daemon.snapshot()
        async with await snapshot.diff(second) as changed:
            assert [one.path async for one in changed.changes() if one.kind == "removed"] == ["images/cats/01.png"]
            assert {row.kind async for row in changed.rows("labels")} == {"changed", "deleted"}
    async with await syncd.aio.open(config=photos.config, ref=snapshot.tag) as later:
        assert later == snapshot
        assert io.BytesIO(await (await later.image("cats/03.png")).read()).read() == b"image 3"
