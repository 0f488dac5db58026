"""Whatever happens in the folder, the snapshot is byte for byte what the folder holds, read with boto3."""

from __future__ import annotations

import os
import random
import shutil
import unicodedata

import pytest

from syncd.fingerprint import SetDigest
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until
from tests.support.observing import fingerprint

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

ODD_NAMES = [
    "a b.png", "#hash.png", "100%.png", "a+b=c&d.png", "what?.png", "'quoted' \"twice\".png", "semi;colon.png",
    "-dash.png", ".hidden.png", "comma,.png", "back\\slash.png", "tilde~x.png", "a..b.png", "[1].png", "{2}.png",
    unicodedata.normalize("NFC", "grüße.png"), unicodedata.normalize("NFD", "grüße.png"), "猫.png", "🐱.png",
    "UPPER.PNG", "upper.png", "no-extension", "%41.png", "a\u202eb.png", "😀/ß/x y.png", "+/+.png",
]  # fmt: skip


def fill(dataset: Dataset, rng: random.Random, count: int) -> None:
    """Write files of many sizes into nested folders, and some with every odd but legal name."""
    for name in ODD_NAMES:
        path = dataset.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.choice([0, 1, 500, 20_000])))
    for number in range(count):
        path = dataset.root / f"set{number % 7}" / f"part{number % 3}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(3000)))
    (dataset.root / "large.jpg").write_bytes(rng.randbytes(6_000_000))


def check(dataset: Dataset, reader: Reader) -> dict:
    """Take a snapshot and compare it with the folder; return it."""
    answer = dataset.snapshot()
    assert answer["left_out"] == []
    assert_same(reader.objects(answer["tag"]), folder(dataset.root))
    return answer


def test_every_kind_of_change_arrives(dataset: Dataset, reader: Reader, rng: random.Random, tmp_path) -> None:
    """P1, P2: first load, then each thing that happens to folders, each compared."""
    fill(dataset, rng, 500)
    dataset.start()
    first = check(dataset, reader)
    assert first["added"] == first["images"] == len(folder(dataset.root))

    (dataset.root / "new.png").write_bytes(b"new")
    (dataset.root / "deep/er/and/deep/er").mkdir(parents=True)
    (dataset.root / "deep/er/and/deep/er/x.png").write_bytes(b"x")
    answer = check(dataset, reader)
    assert (answer["added"], answer["changed"], answer["deleted"]) == (2, 0, 0)

    in_place = dataset.root / "set0/part0/00000.jpg"
    with in_place.open("r+b") as file:
        file.write(b"in place")
    fresh = dataset.root / "set1/part1/.00001.tmp"
    fresh.write_bytes(b"by rename")
    fresh.rename(dataset.root / "set1/part1/00001.jpg")
    answer = check(dataset, reader)
    assert (answer["added"], answer["changed"], answer["deleted"]) == (0, 2, 0)

    (dataset.root / "set2/part2/00002.jpg").unlink()
    (dataset.root / "new.png").rename(dataset.root / "renamed.png")
    answer = check(dataset, reader)
    assert (answer["added"], answer["changed"], answer["deleted"]) == (1, 0, 2)

    (dataset.root / "set3").rename(dataset.root / "set three")
    check(dataset, reader)
    (dataset.root / "set three/part0").rename(dataset.root / "set4/moved")
    check(dataset, reader)

    shutil.copytree(dataset.root / "set5", tmp_path / "outside")
    (tmp_path / "outside").rename(dataset.root / "from outside")
    (dataset.root / "set6").rename(tmp_path / "gone outside")
    answer = check(dataset, reader)
    assert answer["added"]
    assert answer["deleted"]
    (tmp_path / "gone outside" / "part0").rename(dataset.root / "back again")
    shutil.rmtree(dataset.root / "from outside")
    check(dataset, reader)


def test_a_touched_or_copied_back_file_is_no_change(dataset: Dataset, reader: Reader) -> None:
    """P7: content decides."""
    (dataset.root / "a.png").write_bytes(b"a")
    (dataset.root / "b.png").write_bytes(b"b")
    dataset.start()
    first = check(dataset, reader)
    os.utime(dataset.root / "a.png")
    shutil.copy(dataset.root / "b.png", dataset.root / "copy.tmp")
    (dataset.root / "copy.tmp").rename(dataset.root / "b.png")
    assert dataset.snapshot()["tag"] == first["tag"]


def test_the_commit_says_what_it_holds(dataset: Dataset, reader: Reader) -> None:
    """The digest can be recomputed from the objects alone; equal contents have equal digests."""
    (dataset.root / "a.png").write_bytes(b"a")
    (dataset.root / "sub").mkdir()
    (dataset.root / "sub/b.png").write_bytes(b"bb")
    dataset.start()
    first = dataset.snapshot()
    digest = SetDigest()
    for key, content in reader.objects(first["tag"]).items():
        digest.add(key, fingerprint(content).sha256)
    assert first["digest"] == digest.hexdigest()
    assert (first["images"], first["bytes"], first["trigger"]) == (2, 3, "request")

    (dataset.root / "a.png").write_bytes(b"other")
    assert dataset.snapshot()["digest"] != first["digest"]
    (dataset.root / "a.png").write_bytes(b"a")
    third = dataset.snapshot()
    assert third["digest"] == first["digest"]
    assert third["tag"] != first["tag"]


def test_everything_stays_below_the_prefix(make_dataset, s3, repository_name) -> None:
    """P9: what others keep on the publish branch is left alone."""
    dataset = make_dataset(prefix="cats")
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    answer = dataset.snapshot()
    assert answer["uri"].endswith("/cats/")
    s3.put_object(Bucket=repository_name, Key="main/README", Body=b"theirs")
    assert set(Reader(s3, repository_name).objects(answer["tag"])) == {"cats/images/a.png"}
    assert set(Reader(s3, repository_name, "cats/").objects(answer["tag"])) == {"images/a.png"}


def test_a_table_travels_as_it_is_and_a_bad_one_leaves_the_last_good(dataset: Dataset, reader: Reader) -> None:
    """P2, P8: byte for byte, with its row count; a faulty version is named with its line, and not published."""
    table = dataset.directory / "labels.csv"
    labels = {"name": "labels", "csv": str(table), "key": "id", "image_column": "image", "closure": "off"}
    dataset.configure(tables=[labels | {"poll_seconds": 0.2}])
    (dataset.root / "1.png").write_bytes(b"1")
    table.write_bytes('\ufeffid,image,label\r\n1,1.png,"a, b\nc"\r\n2,2.png,grün\r\n'.encode())
    dataset.start()
    first = dataset.snapshot()
    assert_same(reader.objects(first["tag"]), folder(dataset.root) | {"tables/labels.csv": table.read_bytes()})
    assert dataset.command("log", "--json").returncode == 0

    good = table.read_bytes()
    for fault, line in [
        (b"id,image,label\n1,1.png,x\n1,1.png,y\n", "3"),
        (b"id,image,label\n1,1.png,x\n2,2.png\n", "3"),
        (b"id,image,label\n1,1.png,\xff\n", "2"),
        (b"", ""),
        (b"name,image\n1,1.png\n", "id"),
    ]:
        table.write_bytes(fault)
        answer = dataset.snapshot()
        assert reader.objects(answer["tag"])["tables/labels.csv"] == good, fault
        status = dataset.status_until(lambda seen: seen["problems"], "the table's fault is named")
        (problem,) = status["problems"]
        assert problem["source"] == "labels"
        assert line in problem["detail"]

    fixed = table.with_suffix(".new")
    fixed.write_bytes(b"id,image,label\n" + b"".join(b"%d,1.png,x\n" % number for number in range(1000)))
    fixed.rename(table)
    answer = dataset.snapshot()
    assert reader.objects(answer["tag"])["tables/labels.csv"] == table.read_bytes()
    assert dataset.status()["problems"] == []
    table.unlink()
    (dataset.root / "2.png").write_bytes(b"2")
    until(lambda: not dataset.status()["sources"][1]["available"], "the missing table is noticed")
    assert reader.objects("main")["tables/labels.csv"].startswith(b"id,image")


def test_row_counts_are_in_the_commits_metadata(dataset: Dataset, versions) -> None:
    table = dataset.directory / "labels.csv"
    table.write_text("id,image\n" + "".join(f"{number},x.png\n" for number in range(37)))
    dataset.configure(tables=[{"name": "labels", "csv": str(table), "key": "id", "poll_seconds": 0.2}])
    (dataset.root / "x.png").write_bytes(b"x")
    dataset.start()
    answer = dataset.snapshot()
    metadata = versions.ref(answer["tag"]).get_commit().metadata
    assert metadata["syncd.rows.labels"] == "37"
    assert metadata["syncd.images"] == "1"
    assert metadata["syncd.digest"] == answer["digest"]
    assert metadata["syncd.trigger"] == "request"
    assert versions.branch("main").get_commit().id == answer["commit_id"]
