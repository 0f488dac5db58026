"""Rows and images in real snapshots: whatever comes first, each snapshot is as the table's closure policy says (P3)."""

from __future__ import annotations

import csv
import io
import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lakefs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syncd.service.closure_report import NO_IMAGE, NOT_THERE
from tests.support.comparing import Reader, folder
from tests.support.daemon import Dataset
from tests.tables.conftest import SqliteFile

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

LONG_S, SHORT_S = 600.0, 0.3
LONGEST_PAUSE_S = 0.15  # between two changes; a file settles in 0.1 s
ROUNDS = 10
Rows = Mapping[str, str | None]  # key of a row -> path of the image it names


class CsvLabels:
    """The table as a CSV file, which is replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "labels.csv"
        self.settings = {"csv": str(self._path)}

    def write(self, rows: Rows) -> None:
        text = io.StringIO()
        lines = csv.writer(text)
        lines.writerows([("id", "image"), *((key, image or "") for key, image in rows.items())])
        new = self._path.with_suffix(".new")
        new.write_text(text.getvalue())
        new.replace(self._path)

    @staticmethod
    def rows_of(objects: Mapping[str, bytes]) -> dict[str, str | None]:
        lines = csv.DictReader(io.StringIO(objects.get("tables/labels.csv", b"").decode()))
        return {line["id"]: line["image"] or None for line in lines}


class SqliteLabels:
    """The table in a database, which changes in transactions and is published in parts."""

    def __init__(self, directory: Path) -> None:
        self._file = SqliteFile(directory / "labels.db")
        self._file.execute("CREATE TABLE labels (id INTEGER PRIMARY KEY, image TEXT)")
        self.settings = {"url": self._file.url, "table": "labels"}

    def write(self, rows: Rows) -> None:
        images = [("NULL" if image is None else f"'{image}'") for image in rows.values()]
        values = ", ".join(f"({key}, {image})" for key, image in zip(rows, images, strict=True))
        self._file.execute("BEGIN IMMEDIATE", "DELETE FROM labels", f"INSERT INTO labels VALUES {values}", "COMMIT")

    @staticmethod
    def rows_of(objects: Mapping[str, bytes]) -> dict[str, str | None]:
        parts = [body for key, body in sorted(objects.items()) if key.startswith("tables/labels/part-")]
        tables = [pq.read_table(io.BytesIO(part)) for part in parts]
        return {str(row["id"]): row["image"] for row in pa.concat_tables(tables).to_pylist()} if tables else {}


Labels = CsvLabels | SqliteLabels


@pytest.fixture(params=[CsvLabels, SqliteLabels], ids=["csv", "sqlite"])
def labels(request: pytest.FixtureRequest, tmp_path: Path) -> Labels:
    return request.param(tmp_path)


@pytest.fixture
def csv_labels(tmp_path: Path) -> CsvLabels:
    return CsvLabels(tmp_path)


def configure(dataset: Dataset, labels: Labels, closure: str, *, wait_s: float = LONG_S, **more: Any) -> None:
    table = {"name": "labels", "key": "id", "image_column": "image", "poll_seconds": 0.1, "closure": closure}
    dataset.configure(tables=[{**table, **labels.settings, "closure_wait_seconds": wait_s, **more}])


def put(dataset: Dataset, *paths: str, content: bytes = b"image") -> None:
    for path in paths:
        file = dataset.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def unfit(labels: Labels, objects: Mapping[str, bytes]) -> tuple[dict[str, str | None], list[str]]:
    """Compare all of a snapshot: the rows without their image, and the images without a row."""
    rows = labels.rows_of(objects)
    there = {key.removeprefix("images/") for key in objects if key.startswith("images/")}
    missing = {key: image for key, image in rows.items() if image not in there}
    return missing, sorted(there - set(rows.values()))


def tags(versions: lakefs.Repository) -> list[str]:
    """Every tag there is."""
    return sorted(tag.id for tag in versions.tags())


def assert_all_fit(labels: Labels, versions: lakefs.Repository, reader: Reader) -> int:
    """Fail unless rows and images fit in every snapshot there is; return how many there are."""
    found = tags(versions)
    for tag in found:
        objects = reader.objects(tag)
        assert unfit(labels, objects) == ({}, []), tag
        assert not any(key.endswith("_closure.json") for key in objects), tag
    return len(found)


# hold


class Pairs:
    """Images and their rows, changed by two threads that know nothing of each other."""

    def __init__(self, dataset: Dataset, labels: Labels, rng: random.Random) -> None:
        self._dataset, self._labels, self._rng = dataset, labels, rng
        self._pause, self._count = threading.Event(), 0
        self.rows: dict[str, str] = {}

    def change(self, meanwhile: Callable[[], None]) -> None:
        """Let some pairs come, go, and change; return once both halves of all are done."""
        gone = self._rng.sample(sorted(self.rows), self._rng.randint(0, len(self.rows) - 1) if self.rows else 0)
        moved = [key for key in self.rows if key not in gone and self._rng.random() < 0.3]
        old = {self.rows[key] for key in (*gone, *moved)}
        after = {key: image for key, image in self.rows.items() if key not in gone}
        after |= {key: self._new_image() for key in moved}
        for _ in range(self._rng.randint(1, 4)):
            image = self._new_image()
            after[str(self._count)] = image
        new = set(after.values()) - set(self.rows.values())
        steps = [(self._replace, self._row_steps(after)), (self._touch, self._shuffled([*new, *old]))]
        with ThreadPoolExecutor(len(steps)) as pool:
            running = [pool.submit(self._do, act, todo, self._pauses(todo)) for act, todo in steps]
            meanwhile()
            for one in running:
                one.result()
        self.rows = after

    def _new_image(self) -> str:
        self._count += 1
        return f"{self._rng.choice(['', 'a/', 'a/b/'])}{self._count}.png"

    def _shuffled(self, items: list[str]) -> list[str]:
        return self._rng.sample(sorted(items), len(items))

    def _pauses(self, todo: list[Any]) -> list[float]:
        return [self._rng.uniform(0, LONGEST_PAUSE_S) for _ in todo]

    def _row_steps(self, after: Mapping[str, str]) -> list[dict[str, str]]:
        """Change the rows one after the other, in any order."""
        rows, steps = dict(self.rows), []
        for key in self._shuffled([*{*rows, *after}]):
            if rows.get(key) == after.get(key):
                continue
            if key in after:
                rows[key] = after[key]
            else:
                del rows[key]
            steps.append(dict(rows))
        return [step for step in steps if step]  # an empty table is asked about; that is another test

    def _do(self, act: Callable[[Any], None], todo: list[Any], pauses: list[float]) -> None:
        for one, pause_s in zip(todo, pauses, strict=True):
            self._pause.wait(pause_s)
            act(one)

    def _replace(self, rows: Mapping[str, str]) -> None:
        self._labels.write(rows)

    def _touch(self, image: str) -> None:
        """Let an image come, or go if it is there."""
        file = self._dataset.root / image
        if file.exists():
            file.unlink()
        else:
            put(self._dataset, image, content=image.encode())


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
    assert "labels: 1 rows without image, 0 images without row" in listed
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
