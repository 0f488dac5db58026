"""Rows and images in real snapshots: whatever comes first, each snapshot is as the table's closure policy says (P3)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import lakefs
import pytest

from syncd.service.closure_report import NO_IMAGE, NOT_THERE
from tests.support.comparing import Reader, folder
from tests.support.daemon import Dataset
from tests.support.labels import CsvLabels, Labels, Pairs, configure, put, tags, unfit

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

SHORT_S = 0.3
ROUNDS = 10


def assert_all_fit(labels: Labels, versions: lakefs.Repository, reader: Reader) -> int:
    """Fail unless rows and images fit in every snapshot there is; return how many there are."""
    found = tags(versions)
    for tag in found:
        objects = reader.objects(tag)
        assert unfit(labels, objects) == ({}, []), tag
        assert not any(key.endswith("_closure.json") for key in objects), tag
    return len(found)


# hold


def test_no_snapshot_ever_holds_one_half_of_a_pair(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository, rng: random.Random
) -> None:
    """P3, P1: whatever comes first, by the quiet trigger and by calls; and what fits at the end is published."""
    configure(dataset, labels, "hold")
    dataset.configure(snapshot={"quiet_seconds": 0.2}, guard={"max_delete_percent": 100})
    put(dataset, "always.png")
    labels.write({"0": "always.png"})
    dataset.start()
    pairs = Pairs(dataset, labels, rng)
    pairs.rows = {"0": "always.png"}
    for _ in range(ROUNDS):
        called = rng.random() < 0.5

        def call(*, called: bool = called) -> None:
            if called:
                dataset.snapshot(timeout_s=rng.choice([0.1, 1.0]))

        pairs.change(call)
        if rng.random() < 0.5:
            answer = dataset.snapshot()
            assert answer["held"] == ""
            objects = reader.objects(answer["tag"])
            assert labels.rows_of(objects) == pairs.rows
    answer = dataset.snapshot()
    assert answer["held"] == ""
    objects = reader.objects(answer["tag"])
    assert labels.rows_of(objects) == pairs.rows
    assert {key: body for key, body in objects.items() if key.startswith("images/")} == folder(dataset.root)
    assert assert_all_fit(labels, versions, reader) >= ROUNDS // 4


@pytest.mark.parametrize("first", ["image", "row"])
def test_a_row_deleted_together_with_its_image_never_yields_one_half(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository, first: str
) -> None:
    """P3: the call waits for the other half."""
    configure(dataset, labels, "hold")
    put(dataset, "a.png", "b.png")
    labels.write({"1": "a.png", "2": "b.png"})
    dataset.start()
    before = dataset.snapshot()["tag"]
    halves = {"image": (dataset.root / "b.png").unlink, "row": lambda: labels.write({"1": "a.png"})}
    halves.pop(first)()
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(dataset.snapshot)
        dataset.status_until(lambda seen: "do not fit yet" in seen["why"], "the half is noticed, and waited with")
        assert not calling.done()
        assert tags(versions) == [before]
        for half in halves.values():
            half()
        answer = calling.result(60)
    objects = reader.objects(answer["tag"])
    assert labels.rows_of(objects) == {"1": "a.png"}
    assert "images/b.png" not in objects
    assert assert_all_fit(labels, versions, reader) == 2


def test_a_person_is_told_once_the_wait_is_over_and_it_goes_on_by_itself(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository
) -> None:
    """P3, P8: the state word, the reason and the next step; exit code 3 of a call."""
    configure(dataset, labels, "hold", wait_s=SHORT_S)
    dataset.configure(snapshot={"quiet_seconds": 0.1})
    put(dataset, "a.png")
    labels.write({"1": "a.png", "2": "late.png"})
    dataset.start()
    held = dataset.status_until(lambda seen: seen["state"] == "held" and "1 row" in seen["hold"], "a person is told")
    said = "labels: 1 row names an image that is not there; syncd status --closure lists them"
    assert held["hold"] == said
    assert held["why"] == said
    called = dataset.command("snapshot")
    assert (called.returncode, f"held: {said}" in called.stdout) == (3, True), called.stdout
    assert dataset.json_of("snapshot", "--allow-held", exit_code=3)["held"] == said
    listed = dataset.command("status", "--closure").stdout
    assert "labels: 1 row without image" in listed
    assert f"row 2: late.png: {NOT_THERE}" in listed
    assert tags(versions) == []

    put(dataset, "late.png")
    idle = dataset.status_until(lambda seen: seen["state"] == "idle" and seen["snapshot"], "it goes on")
    assert idle["hold"] == ""
    assert set(reader.objects(idle["snapshot"]["tag"])) >= {"images/a.png", "images/late.png"}
    assert assert_all_fit(labels, versions, reader) >= 1


def test_a_call_right_after_the_missing_half_came_gets_its_snapshot(
    dataset: Dataset, labels: Labels, reader: Reader
) -> None:
    """P1: what was found before the call is no reason to refuse it."""
    configure(dataset, labels, "hold", wait_s=SHORT_S)
    put(dataset, "a.png")
    labels.write({"1": "a.png", "2": "late.png"})
    dataset.start()
    assert "1 row names an image that is not there" in dataset.snapshot()["held"]
    dataset.status_until(lambda seen: seen["state"] == "held" and "1 row" in seen["hold"], "a person is told")
    put(dataset, "late.png")
    answer = dataset.snapshot()
    assert answer["held"] == ""
    assert unfit(labels, reader.objects(answer["tag"])) == ({}, [])


def test_nothing_is_published_before_the_table_was_ever_read(
    dataset: Dataset, csv_labels: CsvLabels, reader: Reader, versions: lakefs.Repository
) -> None:
    """P3: images without rows would be one half; said like any other, and it goes on once the table is there."""
    configure(dataset, csv_labels, "hold", wait_s=SHORT_S)
    dataset.configure(snapshot={"quiet_seconds": 0.1})
    put(dataset, "a.png")
    dataset.start()
    held = dataset.status_until(
        lambda seen: seen["state"] == "held" and "not been read" in seen["hold"], "a person is told"
    )
    assert "labels has not been read yet" in held["hold"]
    assert tags(versions) == []
    csv_labels.write({"1": "a.png"})
    dataset.status_until(lambda seen: seen["state"] == "idle" and seen["snapshot"], "it goes on")
    assert assert_all_fit(csv_labels, versions, reader) == 1


def test_it_goes_on_once_the_settings_say_how_rows_name_images(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository
) -> None:
    """P4: nothing in the source changes, nothing is to be sent, and still nobody has to push it."""
    configure(dataset, labels, "hold", wait_s=SHORT_S)
    dataset.configure(snapshot={"quiet_seconds": 0.1})
    put(dataset, "a.png")
    labels.write({"1": "/srv/images/a.png"})
    daemon = dataset.start()
    dataset.status_until(lambda seen: seen["state"] == "held" and "1 row" in seen["hold"], "a person is told")
    assert "it is an absolute path; set image_prefix" in dataset.command("status", "--closure").stdout
    daemon.stop()
    configure(dataset, labels, "hold", wait_s=SHORT_S, image_prefix="/srv/images/")
    dataset.start()
    dataset.status_until(lambda seen: seen["state"] == "idle" and seen["snapshot"], "it goes on")
    assert [labels.rows_of(reader.objects(tag)) for tag in tags(versions)] == [{"1": "/srv/images/a.png"}]


def test_a_restart_while_it_holds_publishes_nothing_and_goes_on(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository
) -> None:
    """P4, P3."""
    configure(dataset, labels, "hold")
    dataset.configure(snapshot={"quiet_seconds": 0.1})
    put(dataset, "a.png", "b.png")
    labels.write({"1": "a.png"})
    daemon = dataset.start()
    for _ in range(2):
        dataset.status_until(lambda seen: "fit yet: labels: 1 image has no row" in seen["why"], "it waits")
        daemon.kill()
        daemon = dataset.start()
    assert tags(versions) == []
    labels.write({"1": "a.png", "2": "b.png"})
    dataset.status_until(lambda seen: seen["state"] == "idle" and seen["snapshot"], "it goes on")
    assert assert_all_fit(labels, versions, reader) == 1


# warn


def histories(rng: random.Random) -> Iterator[tuple[dict[str, str | None], set[str]]]:
    """Rows and images that fit more or less; at last they do."""
    names = [f"{folder}{number}.png" for number in range(6) for folder in ("", "sub/", "ü ö/")]
    for _ in range(5):
        rows: dict[str, str | None] = {str(key): rng.choice([*names, None]) for key in range(rng.randint(3, 15))}
        yield rows, set(rng.sample(names, rng.randint(1, len(names))))
    yield {str(key): name for key, name in enumerate(names)}, set(names)


def test_what_does_not_fit_is_counted_and_listed_alike_everywhere(
    dataset: Dataset, labels: Labels, reader: Reader, versions: lakefs.Repository, rng: random.Random
) -> None:
    """P3, P8: in status, in the commit's metadata and in the published list, and all agree with brute force."""
    configure(dataset, labels, "warn")
    dataset.configure(guard={"max_delete_percent": 100})
    started = False
    for rows, images in histories(rng):
        labels.write(rows)
        for key in folder(dataset.root):
            if key.removeprefix("images/") not in images:
                (dataset.root / key.removeprefix("images/")).unlink()
        put(dataset, *images)
        if not started:
            dataset.start()
            started = True
        answer = dataset.snapshot()
        objects = reader.objects(answer["tag"])
        missing, orphaned = unfit(labels, objects)
        assert (labels.rows_of(objects), orphaned) == (rows, sorted(images - set(rows.values())))

        metadata = versions.ref(answer["tag"]).get_commit().metadata
        counted = [metadata["syncd.missing.labels"], metadata["syncd.orphaned.labels"]]
        assert counted == [str(len(missing)), str(len(orphaned))]

        (report,) = dataset.json_of("status", "--closure")["closure"]
        assert (report["table"], report["missing"], report["orphaned"]) == ("labels", len(missing), len(orphaned))
        assert {row["key"]: row["image"] for row in report["rows"]} == missing
        assert report["images"] == orphaned

        listed = objects.get("tables/labels/_closure.json")
        assert (listed is not None) == bool(missing or orphaned)
        if listed is not None:
            told = json.loads(listed)
            assert told["missing"]["count"] == len(missing)
            named = {
                row["key"]: row["image"] and row["image"].removeprefix("images/") for row in told["missing"]["rows"]
            }
            assert named == missing
            assert told["orphaned"]["count"] == len(orphaned)
            assert told["orphaned"]["images"] == [f"images/{image}" for image in orphaned]
    assert dataset.snapshot()["tag"] == answer["tag"]  # P7: a comparison alone makes no snapshot


def test_why_a_rows_image_is_not_there_is_said_of_each_row(dataset: Dataset, csv_labels: CsvLabels) -> None:
    """P8: what a person can do about it differs."""
    configure(dataset, csv_labels, "warn")
    dataset.configure(source={"include": ["*.png"], "exclude": ["drafts/"]})
    put(dataset, "Cat.png", "drafts/new.png", "notes.txt", "fits.png")
    rows = {
        "1": "../images/fits.png",
        "2": "sub\\fits.png",
        "3": "cat.png",
        "4": "drafts/new.png",
        "5": "notes.txt",
        "6": "/srv/images/fits.png",
        "7": "https://example.com/fits.png",
        "8": "gone.png",
        "9": None,
        "10": "fits.png",
    }
    csv_labels.write(rows)
    dataset.start()
    dataset.snapshot()
    (report,) = dataset.json_of("status", "--closure")["closure"]
    reasons = {row["key"]: row["reason"] for row in report["rows"]}
    assert reasons == {
        "1": "it leads out of source.root",
        "2": "it is written with backslashes; syncd's paths have /",
        "3": f"{NOT_THERE}, but Cat.png: upper and lower case are told apart",
        "4": 'it is left out: exclude pattern "drafts/"',
        "5": "it is left out: not included by source.include",
        "6": "it is an absolute path; set image_prefix to what comes before the path below source.root",
        "7": "it is a URL; set image_prefix or image_pattern to find the path in it",
        "8": NOT_THERE,
        "9": NO_IMAGE,
    }
    assert report["images"] == ["Cat.png"]
    shown = dataset.command("status", "--closure").stdout
    for key, reason in reasons.items():
        assert f"row {key}: {rows[key] or '(none)'}: {reason}" in shown
    assert "image Cat.png: no row names it" in shown
