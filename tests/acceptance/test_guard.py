"""More images gone than may go unasked: held, said, answered; on a real lakeFS, with the real daemon (P5, P8)."""

from __future__ import annotations

import lakefs
import pytest

from syncd.errors import EXIT_HELD
from tests.support.comparing import Reader, folder
from tests.support.daemon import Dataset
from tests.support.terminal import Person

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

COUNT = 40
FOLDERS = ("a/0", "a/1", "b/2", "b/3")


@pytest.fixture
def published(dataset: Dataset) -> Dataset:
    """Forty images in a snapshot, in the folders a/0, a/1, b/2 and b/3; the daemon runs."""
    dataset.configure(snapshot={"quiet_seconds": 1.0}, guard={"max_delete_percent": 25})
    for number in range(COUNT):
        file = dataset.root / FOLDERS[number % 4] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"image %d" % number)
    dataset.start()
    dataset.snapshot()
    return dataset


def images(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {key: body for key, body in objects.items() if key.startswith("images/")}


def lose(dataset: Dataset, folder: str) -> None:
    """All of it at once: with rm -r the first few are on their way before it is clear how many go."""
    (dataset.root / folder).rename(dataset.directory / f"lost-{folder.replace('/', '-')}")


def test_many_deletions_wait_and_additions_flow(published: Dataset, reader: Reader) -> None:
    before = images(reader.objects(published.snapshot()["tag"]))
    lose(published, "a")
    (published.root / "new.png").write_bytes(b"new")
    held = published.status_until(lambda seen: "20 deletions wait" in seen["hold"], "a person is told")
    assert held["state"] == "held"
    assert "20 of 40 images are gone from the source (50 %)" in held["hold"]
    published.status_until(lambda seen: seen["snapshot"]["added"] == 1, "the new image is published")
    newest = published.status()["snapshot"]["tag"]
    assert images(reader.objects(newest)) == before | {"images/new.png": b"new"}
    refused = published.command("snapshot", "--json")
    assert refused.returncode == EXIT_HELD
    assert "syncd approve" in refused.stdout

    answer = published.json_of("approve")
    assert (answer["held"]["images"]["count"], answer["images"]) == (20, 20)
    taken = published.snapshot()
    assert taken["held"] == ""
    assert images(reader.objects(taken["tag"])) == folder(published.root)


def test_an_approval_is_for_what_was_shown_survives_a_kill_and_can_be_for_some(
    published: Dataset, reader: Reader
) -> None:
    lose(published, "a")
    published.status_until(lambda seen: "20 deletions wait" in seen["hold"], "it is held")
    shown = published.command("approve", "--only", "a/0/", "--yes")
    assert "held: 20 of 40 images are gone from the source:" in shown.stdout
    assert "approved: 10 images" in shown.stdout
    daemon = published.daemons[-1]
    daemon.kill()
    published.start()
    published.status_until(lambda seen: "10 deletions wait" in seen["hold"], "the rest is held still")
    kept = {path.split("/")[2] for path in images(reader.objects(published.snapshot(allow_held=True)["tag"]))}
    assert kept == {"1", "2", "3"}


def test_images_can_be_kept_published_although_the_source_lost_them(published: Dataset, reader: Reader) -> None:
    before = images(reader.objects(published.snapshot()["tag"]))
    lose(published, "a")
    published.status_until(lambda seen: "20 deletions wait" in seen["hold"], "it is held")
    assert "kept: 20 images" in published.command("approve", "--discard", "--yes").stdout
    (published.root / "new.png").write_bytes(b"new")
    taken = published.snapshot()
    assert taken["held"] == ""
    assert images(reader.objects(taken["tag"])) == before | {"images/new.png": b"new"}
    assert "it stays published" in published.command("explain", "a/0/0.png").stdout


def test_an_answer_that_comes_too_late_says_so(published: Dataset, reader: Reader) -> None:
    """While the person thinks, so many are back that nobody would have been asked, and the rest goes."""
    lose(published, "a")
    published.status_until(lambda seen: "20 deletions wait" in seen["hold"], "it is held")
    person = Person(published.arguments("approve", "--discard"), published.environment)
    person.sees("keep the images published?")
    (published.directory / "lost-a").rename(published.root / "a")
    (published.root / "a/0/0.png").unlink()
    without = published.status_until(lambda seen: seen["snapshot"]["deleted"] == 1, "the rest is gone")
    person.types("y")
    assert person.ends() == EXIT_HELD
    assert "20 of the images shown did not wait for an answer any more" in person.seen
    assert images(reader.objects(without["snapshot"]["tag"])) == folder(published.root)


def test_a_folder_that_is_renamed_needs_no_word(published: Dataset, reader: Reader) -> None:
    for name in ("a", "b"):
        (published.root / name).rename(published.root / f"moved-{name}")
    taken = published.snapshot()
    assert taken["held"] == ""
    assert images(reader.objects(taken["tag"])) == folder(published.root)


def test_without_a_daemon_it_is_held_and_approved_as_well(published: Dataset, reader: Reader) -> None:
    """For those who sync by cron."""
    published.daemons[-1].stop()
    lose(published, "a")
    lose(published, "b/2")
    assert "30 deletions wait" in published.json_of("sync", exit_code=EXIT_HELD)["held"]
    assert "nothing" not in published.command("approve", "--yes").stdout
    taken = published.json_of("sync")
    assert images(reader.objects(taken["tag"])) == folder(published.root)


def test_a_csv_table_that_lost_its_rows_waits_and_images_flow(dataset: Dataset, reader: Reader) -> None:
    """A load that broke off, or an export of an emptied table: the file is whole, and nearly nothing is in it."""
    labels = dataset.directory / "labels.csv"
    whole = "".join(["id,image\n", *(f"{number},{number}.png\n" for number in range(COUNT))]).encode()
    few = b"".join(whole.splitlines(keepends=True)[:4])
    labels.write_bytes(whole)
    table = {"name": "labels", "csv": str(labels), "key": "id", "image_column": "image", "closure": "off"}
    dataset.configure(
        snapshot={"quiet_seconds": 1.0}, guard={"max_delete_percent": 25}, tables=[{**table, "poll_seconds": 0.1}]
    )
    dataset.start()
    assert reader.objects(dataset.snapshot()["tag"]) == {"tables/labels.csv": whole}

    labels.write_bytes(few)
    held = dataset.status_until(lambda seen: seen["hold"], "a person is told")
    assert held["state"] == "held"
    assert "37 of 40 rows of labels are gone (92 %)" in held["hold"]
    (dataset.root / "new.png").write_bytes(b"new")
    dataset.status_until(lambda seen: seen["snapshot"]["images"] == 1, "the new image is published")
    newest = dataset.status()["snapshot"]["tag"]
    assert reader.objects(newest) == {"tables/labels.csv": whole, "images/new.png": b"new"}
    refused = dataset.command("snapshot")
    assert refused.returncode == EXIT_HELD
    assert "37 of 40 rows of labels" in refused.stdout
    assert "syncd approve" in refused.stdout

    answer = dataset.json_of("approve")
    assert (list(answer["held"]["tables"]), answer["tables"]) == (["labels"], ["labels"])
    taken = dataset.snapshot()
    assert (taken["held"], taken["left_out"]) == ("", [])
    assert reader.objects(taken["tag"]) == {"tables/labels.csv": few, "images/new.png": b"new"}


def test_nothing_to_approve_is_no_failure(published: Dataset, versions: lakefs.Repository) -> None:
    count = len(list(versions.tags()))
    done = published.command("approve")
    assert (done.returncode, done.stdout.strip()) == (0, "nothing that can be approved is held")
    assert len(list(versions.tags())) == count
