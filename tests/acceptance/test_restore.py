"""``syncd restore``: old files among new ones, the source as it was; nothing newer lost, nothing half published."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import random
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lakefs
import pytest

from syncd.client.facts import SnapshotFacts
from syncd.client.restoring import IntoSource, RestoreOptions, restore_into_source, restore_to
from syncd.client.session import Session
from syncd.config import load
from syncd.errors import EXIT_FAILED, EXIT_HELD, EXIT_USAGE
from syncd.service import control
from syncd.snapshots.restore import Restored, RestoreError
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until
from tests.support.rights import bound_by_modes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

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


def tags(versions: lakefs.Repository) -> set[str]:
    return {tag.id for tag in versions.tags()}


async def restored(dataset: Dataset, reference: str, to: Path | None = None, **options: Any) -> IntoSource | Restored:
    """Restore in this process, so that a test can do something in the middle: into the source, or to a folder."""
    settings = load(dataset.config).settings
    async with Session(settings) as session:
        snapshot = SnapshotFacts(settings, await session.find(reference, None))
        if to is None:
            return await restore_into_source(session, snapshot, RestoreOptions(**options))
        return await restore_to(session, snapshot, to, RestoreOptions(**options))


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


def test_what_is_replaced_and_removed_is_kept_until_a_person_lets_go_of_it(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    """P6: the snapshot of what was there alone holds that, and the one of what is there then is newer."""
    published.configure(snapshot={"keep_last": 1, "remove_tags": True})
    published.start()
    first = published.snapshot()["tag"]
    mix_up(published)
    mixed = folder(published.root)
    told = published.json_of("restore", first, "--into-source", "--overwrite", "--delete")
    before = told["before"]
    assert told["before_pinned"]
    (pin,) = published.json_of("pins")["pinned"]
    assert (pin["tag"], pin["reason"], pin["who"]) == (before, f"before {first} was restored", "syncd restore")
    for kept in ({before}, set()):
        (published.root / f"newer-{len(kept)}.png").write_bytes(b"newer")
        newest = published.snapshot()["tag"]
        until(lambda expected=kept | {newest}: tags(versions) == expected, "the keep rules were applied")
        if kept:
            assert_same(images(reader.objects(before)), mixed)
            published.json_of("unpin", before)


def test_a_note_of_somebodys_own_stays_and_what_destroys_nothing_pins_nothing(published: Dataset) -> None:
    first = published.json_of("sync")["tag"]
    for options in ([], ["--overwrite"], ["--overwrite", "--delete"]):
        told = published.json_of("restore", first, "--into-source", *options)
        assert (told["before"], told["before_pinned"]) == (first, False)
        assert published.json_of("pins")["pinned"] == []
    mix_up(published)
    second = published.json_of("sync")["tag"]
    published.json_of("pin", second, "--reason", "mine")
    done = published.command("restore", first, "--into-source", "--overwrite", "--delete")
    assert done.returncode == 0, done.stderr
    told = f"as it was before: {second}; it is pinned, whatever the keep rules say, until syncd unpin {second}\n"
    assert told in done.stderr
    assert told in done.stdout
    assert [one["reason"] for one in published.json_of("pins")["pinned"]] == ["mine"]


def test_what_is_restored_is_held_from_before_its_own_snapshot_is_taken(published: Dataset, tmp_path: Path) -> None:
    published.configure(snapshot={"keep_last": 1, "remove_tags": True}, pull={"cache_dir": str(tmp_path / "cache")})
    published.start()
    first = published.snapshot()["tag"]
    mix_up(published)
    reasons: list[list[str]] = []

    def look(_: object) -> None:
        reasons.extend(
            one["reasons"] for one in published.json_of("retention plan")["snapshots"] if one["tag"] == first
        )

    asyncio.run(restored(published, first, begun=look))
    assert reasons == [["in use"]]
    assert published.json_of("pins")["in_use"] == []
    reasons.clear()
    latest = published.snapshot()["commit_id"]
    in_use: list[str] = []
    asyncio.run(
        restored(
            published,
            latest,
            tmp_path / "out",
            progress=lambda _: in_use.extend(one["commit_id"] for one in published.json_of("pins")["in_use"]),
            paths=["images/new.png"],
        )
    )
    assert in_use == [latest]


def test_a_daemon_that_stops_meanwhile_is_named_and_so_is_what_was_there(published: Dataset, tmp_path: Path) -> None:
    published.configure(pull={"cache_dir": str(tmp_path / "cache")})
    daemon = published.start()
    first = published.snapshot()["tag"]
    mix_up(published)
    begun: list[tuple[str, bool, bytes]] = []

    def note(told: IntoSource) -> None:
        begun.append((told.before, told.pinned, (published.root / "0/00.png").read_bytes()))

    def stop(_: Restored) -> None:
        if daemon.exit_code is None:
            daemon.stop()

    with pytest.raises(RestoreError, match=r"(?s)the daemon stopped while its source was restored.*syncd approve"):
        asyncio.run(restored(published, first, overwrite=True, delete=True, begun=note, progress=stop))
    (pin,) = published.json_of("pins")["pinned"]
    assert begun == [(pin["tag"], True, b"changed")]


def test_a_key_that_leads_elsewhere_removes_and_writes_nothing_there(
    published: Dataset, versions: lakefs.Repository, s3: S3Client, tmp_path: Path
) -> None:
    """P6: a person who may write to the publish branch is not thereby one who may remove files of this machine."""
    first = published.json_of("sync")["tag"]
    victim = tmp_path / "elsewhere" / "1.png"
    victim.parent.mkdir()
    victim.write_bytes(b"there")
    key = f"images/{victim}"  # "images//tmp/…"
    metadata = {"sha256": hashlib.sha256(b"there").hexdigest()}
    s3.put_object(Bucket=versions.id, Key=f"main/{key}", Body=b"there", Metadata=metadata)
    versions.branch("main").commit(message="by hand")
    (published.root / "0/04.png").write_bytes(b"changed")
    second = published.json_of("sync")["tag"]
    told = published.json_of("restore", first, "--into-source", "--overwrite", "--delete", exit_code=EXIT_FAILED)
    assert (told["replaced"], told["removed"], told["left_count"]) == (1, 0, 1)
    assert "cannot be a file in a folder" in told["left"][0]["reason"]
    assert victim.read_bytes() == b"there"

    victim.unlink()
    versions.branch("main").object(key).delete()
    versions.branch("main").commit(message="by hand")
    (published.root / "0/04.png").write_bytes(b"changed again")
    published.json_of("sync")
    for where in (["--into-source", "--overwrite"], ["--to", str(tmp_path / "out")]):
        told = published.json_of("restore", second, *where, exit_code=EXIT_FAILED)
        assert (told["replaced"] + told["written"] > 0, told["left_count"]) == (True, 1)
        assert "cannot be a file in a folder" in told["left"][0]["reason"]
    assert list(victim.parent.iterdir()) == []


def test_a_file_that_may_not_be_read_is_left_and_named(published: Dataset, tmp_path: Path) -> None:
    published.configure(pull={"cache_dir": str(tmp_path / "cache")})
    tag, target = published.json_of("sync")["tag"], tmp_path / "out"
    (target / "images/0").mkdir(parents=True)
    (target / "images/0/00.png").write_bytes(b"mine")
    (target / "images/0/00.png").chmod(0)
    done = bound_by_modes(lambda: asyncio.run(restored(published, tag, target, overwrite=True)))
    assert (done.written, done.left) == (COUNT, {"images/0/00.png": "it cannot be read: Permission denied"})
    assert (target / "images/0/00.png").read_bytes() == b"mine"


def test_a_cache_that_cannot_be_tidied_up_is_no_reason_to_fail(published: Dataset, tmp_path: Path) -> None:
    published.configure(pull={"cache_dir": str(tmp_path / "cache")})
    tag = published.json_of("sync")["tag"]
    (tmp_path / "cache/objects").mkdir(parents=True)
    (tmp_path / "cache/objects/stray").write_bytes(b"")
    assert published.json_of("restore", tag, "--to", str(tmp_path / "out"))["written"] == COUNT + 1


@pytest.mark.parametrize(("module", "name"), [(hashlib, "file_digest"), (os, "scandir")], ids=["check", "evict"])
def test_no_thread_works_on_in_a_cache_that_was_let_go(
    published: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """Where it is cancelled while a thread looks through the cache."""
    published.configure(pull={"cache_dir": str(tmp_path / "cache")})
    tag = published.json_of("sync")["tag"]
    published.json_of("restore", tag, "images/0/00.png", "--to", str(tmp_path / "first"))
    reached, released, works = threading.Event(), threading.Event(), getattr(module, name)

    def hold(*arguments: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            reached.set()
            assert released.wait(60)
        return works(*arguments)

    def in_use() -> bool:
        with (tmp_path / "cache/lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    async def cancelled() -> None:
        restoring = asyncio.create_task(restored(published, tag, tmp_path / "out", paths=["images/0/00.png"]))
        await asyncio.to_thread(reached.wait, 60)
        restoring.cancel()
        try:
            await asyncio.wait({restoring}, timeout=1)
            assert in_use()
        finally:
            released.set()
        await asyncio.wait({restoring})
        assert restoring.cancelled()
        assert not in_use()

    monkeypatch.setattr(module, name, hold)
    asyncio.run(cancelled())
