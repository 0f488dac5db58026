"""Under ``closure = "exclude"`` each real snapshot holds what fits, and the rest comes by itself (P3)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import lakefs
import pytest

from syncd.errors import EXIT_HELD
from tests.support.comparing import Reader, folder
from tests.support.daemon import Dataset
from tests.support.labels import CsvLabels, Labels, Pairs, configure, put, tags, unfit

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

ROUNDS = 8
LIST = "tables/labels/_closure.json"
QUIET = {"quiet_seconds": 0.2}


def assert_closed(labels: Labels, versions: lakefs.Repository, reader: Reader) -> int:
    """Fail unless rows and images fit in every snapshot there is; return how many say that they leave something out."""
    lists = 0
    for tag in tags(versions):
        objects = reader.objects(tag)
        assert unfit(labels, objects) == ({}, []), tag
        lists += LIST in objects
    return lists


def images_of(objects: dict[str, bytes]) -> set[str]:
    return {key.removeprefix("images/") for key in objects if key.startswith("images/")}


def test_no_snapshot_ever_holds_one_half_of_a_pair_and_none_waits_for_the_other(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository, rng: random.Random
) -> None:
    """P3, P1: whatever comes first, by the quiet trigger and by calls; no call is refused for what does not fit."""
    configure(dataset, labels, "exclude")
    dataset.configure(snapshot=QUIET, guard={"max_delete_percent": 100})
    put(dataset, "always.png")
    labels.write({"0": "always.png"})
    dataset.start()
    pairs = Pairs(dataset, labels, rng, staying={"0"})
    pairs.rows = {"0": "always.png"}
    for number in range(ROUNDS):
        alone = f"alone-{number}.png"
        put(dataset, alone)  # so that there is something to be left out, however quick the pairs are

        def call() -> None:
            for _ in range(2):
                assert dataset.snapshot()["held"] == ""

        pairs.change(call)
        (dataset.root / alone).unlink()
        if rng.random() < 0.5:
            objects = reader.objects(dataset.snapshot()["tag"])
            assert labels.rows_of(objects) == pairs.rows
    objects = reader.objects(dataset.snapshot()["tag"])
    assert labels.rows_of(objects) == pairs.rows
    assert {key: body for key, body in objects.items() if key.startswith("images/")} == folder(dataset.root)
    assert assert_closed(labels, versions, reader) > 0, "nothing was ever left out: it proved little"


def test_what_fits_is_published_and_each_half_comes_once_the_other_is_there(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository
) -> None:
    """P3, P8: what is left out is counted in the commit, listed in the snapshot and by status; nobody need help."""
    configure(dataset, labels, "exclude")
    dataset.configure(snapshot=QUIET)
    put(dataset, "a.png", "no-row-yet.png")
    labels.write({"1": "a.png", "2": "late.png", "3": None})
    dataset.start()
    answer = dataset.snapshot()
    objects = reader.objects(answer["tag"])
    assert labels.rows_of(objects) == {"1": "a.png"}
    assert images_of(objects) == {"a.png"}
    told = json.loads(objects[LIST])
    assert told["missing"]["rows"] == [{"key": "2", "image": "images/late.png"}, {"key": "3", "image": None}]
    assert told["orphaned"]["images"] == ["images/no-row-yet.png"]
    metadata = versions.ref(answer["tag"]).get_commit().metadata
    assert (metadata["syncd.missing.labels"], metadata["syncd.orphaned.labels"]) == ("2", "1")
    assert metadata["syncd.rows.labels"] == "1"
    (report,) = dataset.json_of("status", "--closure")["closure"]
    assert (report["missing"], report["orphaned"], report["images"]) == (2, 1, ["no-row-yet.png"])
    assert "no row of labels names it" in dataset.command("explain", "no-row-yet.png").stdout

    put(dataset, "late.png")
    objects = reader.objects(dataset.snapshot()["tag"])
    assert labels.rows_of(objects) == {"1": "a.png", "2": "late.png"}
    labels.write({"1": "a.png", "2": "late.png", "3": "no-row-yet.png"})
    objects = reader.objects(dataset.snapshot()["tag"])
    assert labels.rows_of(objects) == {"1": "a.png", "2": "late.png", "3": "no-row-yet.png"}
    assert images_of(objects) == {"a.png", "late.png", "no-row-yet.png"}
    assert LIST not in objects

    (dataset.root / "late.png").unlink()
    labels.write({"1": "a.png", "2": "late.png"})
    objects = reader.objects(dataset.snapshot()["tag"])
    assert labels.rows_of(objects) == {"1": "a.png"}
    assert images_of(objects) == {"a.png"}
    assert_closed(labels, versions, reader)


def test_it_can_be_turned_on_and_off_over_what_is_published(dataset: Dataset, labels: Labels, reader: Reader) -> None:
    """P4: nothing in the source changes, and the snapshots are as the settings say from then on."""
    dataset.configure(snapshot=QUIET)
    put(dataset, "a.png", "b.png")
    labels.write({"1": "a.png", "2": "c.png"})
    published = []
    for policy in ("warn", "exclude", "warn"):
        configure(dataset, labels, policy)
        daemon = dataset.start()
        dataset.status_until(lambda seen: seen["state"] == "idle" and seen["snapshot"], "all is in step")
        objects = reader.objects(dataset.snapshot()["tag"])
        published.append((set(labels.rows_of(objects)), images_of(objects)))
        daemon.stop()
    whole = {"1", "2"}, {"a.png", "b.png"}
    assert published == [whole, ({"1"}, {"a.png"}), whole]


def test_syncing_once_publishes_what_fits(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository
) -> None:
    """The table is read a second time within one `syncd sync`, once its images are on the branch."""
    configure(dataset, labels, "exclude")
    put(dataset, "a.png", "b.png")
    labels.write({"1": "a.png", "2": "c.png"})
    for count in (1, 2):
        answer = dataset.json_of("sync")
        objects = reader.objects(answer["tag"])
        assert labels.rows_of(objects) == {"1": "a.png", "2": "c.png"} if count == 2 else {"1": "a.png"}
        assert images_of(objects) == {"a.png", "c.png"} if count == 2 else {"a.png"}
        put(dataset, "c.png")
    assert_closed(labels, versions, reader)


def test_images_are_not_taken_away_because_a_table_cannot_be_read(
    dataset: Dataset, csv_labels: CsvLabels, reader: Reader
) -> None:
    """P5: a table that was never read leaves nothing out; nothing is published before it is."""
    configure(dataset, csv_labels, "warn")
    dataset.configure(snapshot=QUIET)
    put(dataset, "a.png")
    csv_labels.write({"1": "a.png"})
    daemon = dataset.start()
    before = dataset.snapshot()
    daemon.stop()
    configure(dataset, csv_labels, "exclude", wait_s=0.3, name="others")
    table = Path(csv_labels.settings["csv"])
    table.rename(table.with_name("away.csv"))
    dataset.start()
    put(dataset, "b.png")
    held = dataset.status_until(lambda seen: "others has not been read yet" in seen["hold"], "a person is told")
    assert held["snapshot"]["tag"] == before["tag"]
    table.with_name("away.csv").rename(table)
    dataset.status_until(lambda seen: seen["snapshot"]["tag"] != before["tag"], "it goes on")
    assert images_of(reader.objects(dataset.snapshot()["tag"])) == {"a.png"}


def test_an_update_after_which_no_row_fits_waits_for_a_person(dataset: Dataset, labels: Labels, reader: Reader) -> None:
    """P5: as many rows as before, all images are there, and without a word nothing would be published of either."""
    configure(dataset, labels, "exclude")
    dataset.configure(snapshot=QUIET)
    rows = {f"{number}": f"{number}.png" for number in range(30)}
    put(dataset, *rows.values())
    labels.write(rows)
    dataset.start()
    before = reader.objects(dataset.snapshot()["tag"])
    assert (labels.rows_of(before), images_of(before)) == (rows, set(rows.values()))

    labels.write({key: f"new/{image}" for key, image in rows.items()})
    held = dataset.status_until(lambda seen: "would be left out" in seen["hold"], "a person is told")
    assert "30 of 30 rows of labels would be left out (100 %)" in held["hold"]
    assert dataset.command("snapshot", "--json").returncode == EXIT_HELD
    assert reader.objects(dataset.status()["snapshot"]["tag"]) == before

    labels.write(rows)  # it was a mistake
    assert reader.objects(dataset.snapshot()["tag"]) == before

    labels.write({key: f"new/{image}" for key, image in rows.items()})
    dataset.status_until(lambda seen: "would be left out" in seen["hold"], "a person is told")
    dataset.json_of("approve")
    objects = reader.objects(dataset.snapshot()["tag"])
    assert (labels.rows_of(objects), images_of(objects)) == ({}, set())


def test_a_folder_and_its_table_that_were_renamed_together_need_no_word(
    dataset: Dataset, labels: Labels, reader: Reader
) -> None:
    """Neither by one pass, whose table may be read before the folder is listed, nor by the daemon, table first."""
    configure(dataset, labels, "exclude")
    dataset.configure(snapshot=QUIET)
    (dataset.root / "a").mkdir()
    rows = {f"{number}": f"a/{number}.png" for number in range(30)}
    for key, image in rows.items():
        put(dataset, image, content=key.encode())
    labels.write(rows)
    dataset.json_of("sync")

    def renamed(before: str, after: str) -> dict[str, str]:
        return {key: image.replace(before, after) for key, image in rows.items()}

    rows = renamed("a/", "b/")
    labels.write(rows)
    (dataset.root / "a").rename(dataset.root / "b")
    objects = reader.objects(dataset.json_of("sync")["tag"])
    assert (labels.rows_of(objects), images_of(objects)) == (rows, set(rows.values()))

    dataset.start()
    dataset.status_until(lambda seen: seen["state"] == "idle" and seen["snapshot"], "all is in step")
    rows = renamed("b/", "c/")
    labels.write(rows)
    dataset.status_until(lambda seen: "would be left out" in seen["hold"], "the folder is not renamed yet")
    (dataset.root / "b").rename(dataset.root / "c")
    objects = reader.objects(dataset.snapshot()["tag"])
    assert (labels.rows_of(objects), images_of(objects)) == (rows, set(rows.values()))
