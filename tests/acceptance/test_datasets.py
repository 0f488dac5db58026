"""A snapshot as a dataset, against the real daemon and a real lakeFS: order, workers, cache, and what is wrong."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import multiprocessing
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import syncd
from syncd.client import aio
from syncd.datasets import MissingImageError, SampleError, SnapshotDataset
from syncd.embedded.process import ServerProcess
from syncd.errors import UsageError
from syncd.snapshots.fetching import CacheError
from syncd.snapshots.table_objects import UnknownTableError
from tests.acceptance.test_verify import stored
from tests.support.comparing import folder
from tests.support.counting_proxy import CountingProxy
from tests.support.daemon import Dataset

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

COUNT = 40


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 3), number).save(file, "png")
    return file.getvalue()


def path_of(number: int) -> str:
    return f"{'cats' if number % 2 else 'dogs'}/{number:02}.png"


def shade(image: Image.Image, row: dict[str, Any]) -> tuple[int, str]:
    """A transform that can be pickled: the grey of a picture, and its label."""
    return image.getpixel((0, 0)), row["label"]


@pytest.fixture
def order(rng: random.Random) -> list[int]:
    """The table is in no order, and names some images twice."""
    return rng.sample([*range(COUNT), *range(5)], COUNT + 5)


@pytest.fixture
def photos(dataset: Dataset, order: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Published: pictures in two folders, labels that name them, and a table that names none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(COUNT):
        path = dataset.root / path_of(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(number))
    rows = [f"{row},{path_of(number)},{path_of(number).split('/')[0]}" for row, number in enumerate(order)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,image,label", *rows, ""]))
    (tmp_path / "notes.csv").write_text("id,note\n1,hello\n")
    labels = {"name": "labels", "csv": str(tmp_path / "labels.csv"), "key": "id", "image_column": "image"}
    dataset.configure(tables=[labels, {"name": "notes", "csv": str(tmp_path / "notes.csv"), "key": "id"}])
    dataset.json_of("sync")
    return dataset


def test_a_sample_is_a_row_with_its_image_in_the_order_of_the_table(photos: Dataset, order: list[int]) -> None:
    with syncd.open(config=photos.config) as snapshot:
        dataset = SnapshotDataset(snapshot, table="labels", decode="bytes")
        assert len(dataset) == len(order)
        expected = [
            (png(number), {"id": str(row), "image": path_of(number), "label": path_of(number).split("/")[0]})
            for row, number in enumerate(order)
        ]
        assert list(dataset) == expected
        assert dataset[:] == dataset.__getitems__(range(len(dataset))) == expected
        assert dataset[5:1:-2] == [expected[5], expected[3]]
        assert (dataset[7], dataset[-1]) == (expected[7], expected[-1])
        assert dataset.__getitems__([3, 3, -1]) == [expected[3], expected[3], expected[-1]]
        assert dataset.__getitems__([]) == []
        assert (dataset.path(7), dataset.row(-1)) == (path_of(order[7]), expected[-1][1])
        for index in (len(order), -len(order) - 1):
            with pytest.raises(IndexError, match="no sample"):
                dataset[index]
        with pytest.raises(TypeError):
            dataset["7"]
        assert repr(dataset) == f"<dataset of {len(order)} rows of 'labels' in {snapshot.name}>"


def test_without_a_table_a_sample_is_an_image_in_the_order_of_the_paths(photos: Dataset) -> None:
    with syncd.open(config=photos.config) as snapshot:
        dataset = SnapshotDataset(snapshot)
        paths = sorted(path_of(number) for number in range(COUNT))
        assert [row for _, row in dataset] == [{"path": path} for path in paths]
        assert [f"{image.getpixel((0, 0)):02}.png" for image, _ in dataset] == [path.split("/")[1] for path in paths]


def test_images_are_decoded_and_samples_made_as_asked(photos: Dataset, order: list[int]) -> None:
    with syncd.open(config=photos.config) as snapshot:
        image, row = SnapshotDataset(snapshot, table="labels")[0]
        assert (image.size, image.mode, row["id"]) == ((4, 3), "L", "0")
        shades = SnapshotDataset(snapshot, table="labels", transform=shade)
        assert list(shades) == [(number, path_of(number).split("/")[0]) for number in order]
        lengths = SnapshotDataset(snapshot, decode=len)
        assert lengths[0] == (len(png(1)), {"path": "cats/01.png"})
        with pytest.raises(UsageError, match="decode='gif'"):
            SnapshotDataset(snapshot, decode="gif")


def test_workers_forked_and_spawned_read_the_same(photos: Dataset) -> None:
    """Also where this process has read before, so that its event loop runs as it forks."""
    with syncd.open(config=photos.config) as snapshot:
        for method, cache in (("fork", True), ("spawn", True), ("fork", False), ("forkserver", False)):
            dataset = SnapshotDataset(snapshot, table="labels", transform=shade, cache=cache)
            expected = list(dataset)
            context = multiprocessing.get_context(method)
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as workers:
                batches = [range(start, len(dataset), 3) for start in range(3)]
                found = workers.map(dataset.__getitems__, batches)
                assert list(found) == [expected[start::3] for start in range(3)], method
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            assert list(threads.map(dataset.__getitem__, range(len(dataset)))) == expected
    assert pickle.loads(pickle.dumps(dataset))[3] == expected[3]  # noqa: S301


@pytest.fixture
def behind_a_proxy(photos: Dataset, lakefs_server: ServerProcess):
    """A snapshot that is read through a proxy that counts."""
    with CountingProxy(lakefs_server.endpoint) as proxy:
        photos.configure(lakefs={"endpoint": proxy.endpoint})
        with syncd.open(config=photos.config) as snapshot:
            yield snapshot, proxy


def test_with_a_cache_the_second_epoch_fetches_nothing(behind_a_proxy, tmp_path: Path) -> None:
    snapshot, proxy = behind_a_proxy
    plain = SnapshotDataset(snapshot, table="labels", decode="bytes")
    for _ in range(2):
        proxy.take()
        expected = plain[:]
        assert proxy.take()["api"] == COUNT, "an image that two rows name is fetched once for a batch"
    cached = SnapshotDataset(snapshot, table="labels", decode="bytes", cache=True)
    proxy.take()
    assert cached[:] == expected
    assert proxy.take()["api"] == COUNT
    for again in (cached, SnapshotDataset(snapshot, table="labels", decode="bytes", cache=True)):
        proxy.take()
        assert again[:] == list(again) == expected
        assert not proxy.take()
    (tmp_path / "pulled").mkdir()
    assert snapshot.pull(tmp_path / "pulled", paths=["images"]).fetched_objects == 0, "pulls share the cache"

    sha256 = hashlib.sha256(png(1)).hexdigest()
    (in_cache,) = (tmp_path / "cache").rglob(sha256)
    in_cache.chmod(0o600)
    in_cache.write_bytes(b"\0" * len(png(1)))
    proxy.take()
    assert cached[:] == expected, "what was damaged in the cache is fetched anew"
    assert proxy.take()["api"] == 1
    assert in_cache.read_bytes() == png(1)


def test_what_a_cache_may_not_hold_goes_before_the_next_training(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(4):
        (dataset.root / f"{number}.png").write_bytes(rng.randbytes(3 << 19))
    dataset.configure(pull={"cache_bytes": "2MiB"})
    dataset.json_of("sync")
    with syncd.open(config=dataset.config) as snapshot:
        expected = SnapshotDataset(snapshot, decode="bytes", cache=True)[:]
        kept = tmp_path / "cache" / "syncd" / "pull" / "objects"
        assert len(list(kept.glob("*/*"))) == len(expected), "nothing goes while it is used"
        again = SnapshotDataset(snapshot, decode="bytes", cache=True)
        assert len(list(kept.glob("*/*"))) == 1
        assert again[:] == expected


def test_a_cache_that_cannot_be_used_is_named(photos: Dataset, tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_bytes(b"")
    photos.configure(pull={"cache_dir": str(tmp_path / "in-the-way")})
    with (
        syncd.open(config=photos.config) as snapshot,
        pytest.raises(CacheError, match=r"in-the-way.* cannot be used"),
    ):
        SnapshotDataset(snapshot, cache=True)


def test_a_pulled_folder_is_read_where_it_is_right(behind_a_proxy, tmp_path: Path) -> None:
    snapshot, proxy = behind_a_proxy
    snapshot.pull(tmp_path / "pulled", paths=["images/cats"], link="copy")
    damaged = tmp_path / "pulled" / "images" / "cats" / "03.png"
    damaged.chmod(0o600)
    damaged.write_bytes(b"another")
    dataset = SnapshotDataset(snapshot, decode="bytes", folder=tmp_path / "pulled")
    proxy.take()
    found = {f"images/{row['path']}": content for content, row in dataset[:]}
    assert found == {f"images/{path_of(number)}": png(number) for number in range(COUNT)}
    assert proxy.take()["api"] == COUNT // 2 + 1


def test_rows_without_their_image_are_an_error_or_left_out(dataset: Dataset, tmp_path: Path) -> None:
    (dataset.root / "a.png").write_bytes(png(1))
    (tmp_path / "labels.csv").write_text(
        "".join(["id,image\n", "x,gone.png\n", "y,a.png\n", "z,\n", *(f"{row},gone/too.png\n" for row in range(9))])
    )
    labels = {"name": "labels", "csv": str(tmp_path / "labels.csv"), "key": "id", "image_column": "image"}
    dataset.configure(tables=[{**labels, "closure": "off"}])
    dataset.json_of("sync")
    with syncd.open(config=dataset.config) as snapshot:
        with pytest.raises(MissingImageError, match=r"^11 of 12 rows name images .*'gone\.png' of row 0.*; and 6 more"):
            SnapshotDataset(snapshot, table="labels")
        some = SnapshotDataset(snapshot, table="labels", missing="skip", decode="bytes")
        assert list(some) == [(png(1), {"id": "y", "image": "a.png"})]
        assert (list(some.skipped), some.row(0)["id"]) == ([0, *range(2, 12)], "y")
        assert "1 rows of 'labels'" in repr(some)
        assert "11 skipped" in repr(some)
        with pytest.raises(UsageError, match="missing='no'"):
            SnapshotDataset(snapshot, table="labels", missing="no")  # type: ignore[arg-type]


async def test_what_no_dataset_can_be_made_of_is_refused(photos: Dataset) -> None:
    with syncd.open(config=photos.config) as snapshot:
        with pytest.raises(UnknownTableError, match="its tables are: labels, notes"):
            SnapshotDataset(snapshot, table="label")
        with pytest.raises(UsageError, match=r"rows of the table 'notes' name no images.*\n.*image_column"):
            SnapshotDataset(snapshot, table="notes")
    async with await aio.open(config=photos.config) as other:
        with pytest.raises(UsageError, match=r"made of a syncd\.Snapshot"):
            SnapshotDataset(other)  # type: ignore[arg-type]


def test_an_image_that_is_damaged_is_named_with_its_row(
    own_lakefs_server: ServerProcess, make_dataset: Any, tmp_path: Path
) -> None:
    dataset = make_dataset(own_lakefs_server)
    for number in range(3):
        (dataset.root / f"{number}.png").write_bytes(png(number) if number else b"no picture")
    (tmp_path / "labels.csv").write_text("id,image\nx,2.png\ny,0.png\nz,1.png\n")
    labels = {"name": "labels", "csv": str(tmp_path / "labels.csv"), "key": "id", "image_column": "image"}
    dataset.configure(tables=[labels])
    dataset.json_of("sync")
    with syncd.open(config=dataset.config) as snapshot:
        pictures = SnapshotDataset(snapshot, table="labels")
        with pytest.raises(SampleError, match=r"sample 1, '0\.png', of row 1 of the table 'labels' \(id='y'\)"):
            pictures.__getitems__([0, 1])
        with pytest.raises(TypeError) as failed:
            SnapshotDataset(snapshot, table="labels", decode="bytes", transform=lambda image, _: image + 1)[2]
        assert failed.value.__notes__ == ["syncd: it was sample 2, '1.png', of row 2 of the table 'labels' (id='z')"]
        stored(tmp_path / "own-lakefs", png(1)).write_bytes(bytes(len(png(1))))
        stored(tmp_path / "own-lakefs", png(2)).unlink()
        for index, name in ((0, "2.png"), (2, "1.png")):
            with pytest.raises(SampleError, match=f"sample {index}, '{name}', of row {index} .* cannot be read") as bad:
                pictures[index]
            assert str(pickle.loads(pickle.dumps(bad.value))) == str(bad.value)  # noqa: S301
        assert list(SnapshotDataset(snapshot, table="labels", decode="bytes").__getitems__([1]))
    assert folder(dataset.root)
