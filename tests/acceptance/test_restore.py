"""``syncd restore``: old files among new ones, the source as it was; nothing newer lost, nothing half published."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from pathlib import Path

import lakefs
import pytest

from syncd.errors import EXIT_FAILED, EXIT_HELD, EXIT_USAGE
from syncd.service import control
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

COUNT = 40


@pytest.fixture
def published(dataset: Dataset, rng: random.Random) -> Dataset:
    for number in range(COUNT):
        path = dataset.root / str(number % 4) / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(1, 30_000)))
    (dataset.directory / "labels.csv").write_text("id,label\n1,cat\n2,dog\n")
    dataset.configure(tables=[{"name": "labels", "csv": str(dataset.directory / "labels.csv"), "key": "id"}])
    return dataset


def images(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {key: body for key, body in objects.items() if key.startswith("images/")}


def mix_up(dataset: Dataset) -> None:
    """Change, delete, move and add images, and edit the table."""
    (dataset.root / "0/00.png").write_bytes(b"changed")
    (dataset.root / "1/01.png").unlink()
    shutil.rmtree(dataset.root / "2")
    (dataset.root / "3").rename(dataset.root / "three")
    (dataset.root / "new.png").write_bytes(b"new")
    (dataset.directory / "labels.csv").write_text("id,label\n1,cat\n3,cow\n")


def test_into_any_folder_among_what_is_there(published: Dataset, tmp_path: Path) -> None:
    tag = published.json_of("sync")["tag"]
    before, target = folder(published.root), tmp_path / "out" / "here"
    mix_up(published)
    told = published.json_of("restore", tag, "--to", str(target))
    assert (told["written"], told["replaced"], told["left_count"]) == (COUNT + 1, 0, 0)
    assert_same(folder(target / "images"), before)
    assert (target / "tables/labels.csv").read_text() == "id,label\n1,cat\n2,dog\n"

    (target / "images/0/00.png").write_bytes(b"mine")
    (target / "images/0/04.png").unlink()
    (target / "images/0/04.png").symlink_to(published.root / "0/00.png")
    (target / "images/1/01.png").unlink()
    (target / "images/other.png").write_bytes(b"other")
    told = published.json_of("restore", tag, "images/0", "images/1/01.png", "--to", str(target), exit_code=EXIT_FAILED)
    assert (told["written"], told["replaced"]) == (1, 0)
    assert {one["path"]: one["reason"].split(";")[0] for one in told["left"]} == {
        "images/0/00.png": "it is not as in the snapshot",
        "images/0/04.png": "something that is no regular file is in its place",
    }
    assert (target / "images/0/00.png").read_bytes() == b"mine"
    told = published.json_of("restore", tag, "--to", str(target), "--overwrite", exit_code=EXIT_FAILED)
    assert (told["replaced"], [one["path"] for one in told["left"]]) == (1, ["images/0/04.png"])
    assert (published.root / "0/00.png").read_bytes() == b"changed", "nothing is written through a link"
    (target / "images/0/04.png").unlink()
    told = published.json_of("restore", tag, "images/0/04.png", "--to", str(target))
    assert_same(folder(target / "images"), before | {"images/other.png": b"other"})


@pytest.mark.parametrize("runs", [True, False], ids=["a-daemon", "no-daemon"])
def test_the_source_as_it_was_with_what_it_held_before_kept(published: Dataset, reader: Reader, runs: bool) -> None:
    """The guard holds many deletions; those of a restore are meant, and it is told so."""
    published.configure(snapshot={"quiet_seconds": 0.5}, guard={"max_delete_percent": 5})
    if runs:
        published.start()
    first, before = published.json_of("snapshot")["tag"], folder(published.root)
    mix_up(published)
    held = published.command("snapshot")
    assert held.returncode == EXIT_HELD, held.stdout
    assert published.command("restore", first, "--into-source").returncode == EXIT_HELD, "it must be answered first"
    published.json_of("approve")
    mixed, labels = folder(published.root), (published.directory / "labels.csv").read_text()

    told = published.json_of("restore", first, "--into-source", exit_code=EXIT_FAILED)
    gone = len(before.keys() - mixed.keys())
    assert (told["written"], told["replaced"], told["removed"]) == (gone, 0, 0)
    assert {one["path"] for one in told["left"]} == {
        *(key.removeprefix("images/") for key in mixed.keys() - before.keys()), "0/00.png", "labels.csv"
    }  # fmt: skip
    assert_same(images(reader.objects(told["before"])), mixed)
    assert_same(images(reader.objects(told["after"])), {**before, **mixed})

    told = published.json_of("restore", first, "--into-source", "--overwrite", "--delete")
    assert (told["replaced"], told["removed"], told["left_count"]) == (2, len(mixed.keys() - before.keys()), 0)
    assert_same(folder(published.root), before)
    assert not (published.root / "three").exists(), "what is empty goes as well"
    assert (published.directory / "labels.csv").read_text() != labels
    assert reader.digests(told["after"]) == reader.digests(first)
    again = published.json_of("restore", first, "--into-source", "--overwrite", "--delete")
    assert (again["written"], again["replaced"], again["removed"]) == (0, 0, 0)
    assert again["before"] == again["after"] == told["after"]


def test_no_snapshot_holds_half_of_it_and_nothing_newer_is_lost(
    published: Dataset, reader: Reader, rng: random.Random
) -> None:
    """The daemon would publish at every breath; someone else goes on writing."""
    published.configure(snapshot={"quiet_seconds": 0.05, "max_wait_seconds": 0.1})
    published.start()
    first, before = published.snapshot()["tag"], folder(published.root)
    shutil.rmtree(published.root / "0")
    shutil.rmtree(published.root / "1")
    (published.root / "2/02.png").write_bytes(b"changed")
    (published.root / "extra.png").write_bytes(b"extra")
    mixed = folder(published.root)
    until(lambda: images(reader.objects(published.snapshot()["tag"])) == mixed, "the daemon is in step")
    known = {one["tag"] for one in published.json_of("log", "--limit", "1000")}
    ended, written = threading.Event(), {}

    def write() -> None:
        number = 0
        while not ended.is_set():
            path = published.root / "others" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            written[f"images/others/{number}.png"] = content = rng.randbytes(100)
            path.write_bytes(content)
            number += 1
            ended.wait(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = published.json_of("restore", first, "--into-source", "--overwrite", "--delete")
    finally:
        ended.set()
        writer.join()
    # what was written before the snapshot that restore takes was removed with it, and is in it
    kept = images(reader.objects(told["before"]))
    now = folder(published.root)
    others = {key: body for key, body in now.items() if key.startswith("images/others/")}
    assert_same({**others, **{key: body for key, body in kept.items() if key.startswith("images/others/")}}, written)
    assert_same({key: body for key, body in now.items() if key not in others}, before)
    published.snapshot()
    for tag in {one["tag"] for one in published.json_of("log", "--limit", "1000")} - known:
        found = {
            key: body for key, body in images(reader.objects(tag)).items() if not key.startswith("images/others/")
        }  # fmt: skip
        assert found in (mixed, before), f"{tag} holds half of a restore"


def test_while_the_daemon_holds_its_breath_it_says_so_and_a_call_waits(published: Dataset, reader: Reader) -> None:
    published.configure(snapshot={"quiet_seconds": 0.05})
    published.start()
    first = published.snapshot()["tag"]

    async def paused() -> None:
        async with control.borrowed(published.state_dir, "pause", why="a test writes into the source"):
            (published.root / "new.png").write_bytes(b"new")
            await asyncio.to_thread(
                published.status_until, lambda told: "a test writes" in told["why"], "status says so"
            )
            waiting = await asyncio.to_thread(published.snapshot, timeout_s=0.5)
            assert "a test writes into the source" in waiting["held"]
            calling = asyncio.create_task(asyncio.to_thread(published.snapshot, timeout_s=30))
            await asyncio.sleep(1)
            assert not calling.done()
            assert (await asyncio.to_thread(published.status))["snapshot"]["tag"] == first
        assert "images/new.png" in reader.objects((await calling)["tag"])

    asyncio.run(paused())


def test_what_others_put_into_lakefs_is_left_alone(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    """It carries no digest: what lies in the folder in its place could be newer."""
    first = published.json_of("sync")["tag"]
    (published.root / "0/04.png").write_bytes(b"mine")
    versions.branch("main").object("images/0/foreign.png").upload(data=b"foreign", content_type="image/png")
    versions.branch("main").commit(message="by hand")
    (published.root / "0/foreign.png").write_bytes(b"foreign")
    published.configure(source={"exclude": ["foreign.png"]})
    second = published.json_of("sync")["tag"]
    assert reader.objects(second)["images/0/foreign.png"] == b"foreign"
    told = published.json_of("restore", first, "--into-source", "--overwrite", "--delete", exit_code=EXIT_FAILED)
    assert (told["replaced"], told["removed"], told["left_count"]) == (1, 0, 1)
    (left,) = told["left"]
    assert left["path"] == "0/foreign.png"
    assert "cannot tell what there should be" in left["reason"]
    assert (published.root / "0/foreign.png").read_bytes() == b"foreign"


def test_what_cannot_be(published: Dataset, tmp_path: Path) -> None:
    tag = published.json_of("sync")["tag"]
    for arguments, words in (
        ([tag], "either --to DIR or --into-source"),
        ([tag, "--to", str(tmp_path / "a"), "--into-source"], "either --to DIR or --into-source"),
        ([tag, "--to", str(tmp_path / "a"), "--delete"], "syncd pull REF DIR"),
        ([tag, "images/cows", "--to", str(tmp_path / "a")], "holds nothing called 'images/cows'"),
    ):
        refused = published.command("restore", *arguments)
        assert refused.returncode == EXIT_USAGE, refused.stdout
        assert words in refused.stderr
    unknown = published.command("restore", tag[:-1], "--into-source")
    assert unknown.returncode == EXIT_FAILED
    assert tag in unknown.stderr
    (tmp_path / "file").write_bytes(b"")
    refused = published.command("restore", tag, "--to", str(tmp_path / "file"))
    assert refused.returncode == EXIT_FAILED
    assert "Traceback" not in refused.stderr
