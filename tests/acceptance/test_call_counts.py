"""P7: requests follow what changed, counted between the daemon and the real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.support.comparing import Reader, assert_same, folder
from tests.support.counting_proxy import CountingProxy
from tests.support.daemon import Dataset
from tests.support.wal import log_of

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

MOST_TRANSACTIONS = 7
WRITES = ("put", "copy", "delete", "commit", "merge", "tag")


@pytest.fixture
def proxy(lakefs_server) -> Iterator[CountingProxy]:
    with CountingProxy(lakefs_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def counted(make_dataset: Callable[..., Dataset], proxy: CountingProxy) -> Dataset:
    """A dataset whose requests pass through the proxy."""
    dataset = make_dataset()
    dataset.configure(lakefs={"endpoint": proxy.endpoint})
    return dataset


def fill(dataset: Dataset, count: int) -> None:
    for number in range(count):
        path = dataset.root / f"d{number % 10}" / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d" % number)


def writes(counts: dict[str, int]) -> dict[str, int]:
    return {kind: counts[kind] for kind in WRITES if counts[kind]}


def test_an_unchanged_folder_costs_no_write(counted: Dataset, proxy: CountingProxy) -> None:
    """No PUT, no DELETE, no commit: not by a restart, not by a request, not by `touch` on every file."""
    fill(counted, 300)
    counted.start()
    first = counted.snapshot()
    assert writes(proxy.take()) == {"put": 300, "commit": 1, "merge": 1, "tag": 1}

    assert counted.snapshot()["tag"] == first["tag"]
    assert writes(proxy.take()) == {}

    for path in counted.root.rglob("*.png"):
        os.utime(path)
    assert counted.snapshot()["tag"] == first["tag"]
    assert writes(proxy.take()) == {}

    counted.daemons[-1].stop()
    for path in counted.root.rglob("*.png"):
        os.utime(path)
    counted.start()
    assert counted.snapshot()["tag"] == first["tag"]
    counts = proxy.take()
    assert writes(counts) == {}
    assert counts["list"] == 0


def test_one_change_among_ten_thousand_costs_one_put_and_no_listing(
    counted: Dataset, proxy: CountingProxy, reader: Reader
) -> None:
    fill(counted, 10_000)
    counted.start()
    counted.snapshot()
    proxy.take()

    (counted.root / "d3/00003.png").write_bytes(b"changed")
    answer = counted.snapshot()
    counts = proxy.take()
    assert writes(counts) == {"put": 1, "commit": 1, "merge": 1, "tag": 1}
    assert counts["list"] == 0
    assert sum(counts.values()) <= 12
    assert (answer["added"], answer["changed"], answer["deleted"]) == (0, 1, 0)

    (counted.root / "d4/00004.png").unlink()
    answer = counted.snapshot()
    counts = proxy.take()
    assert writes(counts) == {"delete": 1, "commit": 1, "merge": 1, "tag": 1}
    assert counts["list"] == 0
    assert_same(reader.objects(answer["tag"]), folder(counted.root))


def test_deletes_travel_a_thousand_to_a_request(counted: Dataset, proxy: CountingProxy) -> None:
    fill(counted, 2500)
    (counted.root / "kept.png").write_bytes(b"kept")
    counted.start()
    counted.snapshot()
    proxy.take()
    for path in counted.root.glob("d*/*.png"):
        path.unlink()
    answer = counted.snapshot()
    assert answer["deleted"] == 2500
    assert 3 <= proxy.take()["delete"] <= 6  # batches begin while files are still being deleted


def test_a_renamed_folder_is_copied_by_the_server(counted: Dataset, proxy: CountingProxy, reader: Reader) -> None:
    """Not one byte of an object is sent again, nor does anything of the old name stay."""
    fill(counted, 300)
    counted.start()
    counted.snapshot()
    assert proxy.put_bytes > 0
    proxy.take()

    (counted.root / "d3").rename(counted.root / "moved")
    answer = counted.snapshot()
    assert proxy.put_bytes == 0
    assert writes(proxy.take()) == {"copy": 30, "delete": 1, "commit": 1, "merge": 1, "tag": 1}
    assert (answer["added"], answer["changed"], answer["deleted"]) == (30, 0, 30)
    assert_same(reader.objects(answer["tag"]), folder(counted.root))

    (counted.root / "moved").rename(counted.root / "d3")
    (counted.root / "d3/new.png").write_bytes(b"something else")
    answer = counted.snapshot()
    assert proxy.put_bytes == len(b"something else")
    assert writes(proxy.take()) == {"put": 1, "copy": 30, "delete": 1, "commit": 1, "merge": 1, "tag": 1}
    assert_same(reader.objects(answer["tag"]), folder(counted.root))


def test_one_change_costs_a_fixed_number_of_journal_transactions(counted: Dataset) -> None:
    """P7: each is a write to the disk that has to be waited for; the size of the dataset adds none."""
    journal, costs = counted.state_dir / "journal.db", {}
    for count in (100, 2000):
        fill(counted, count)
        if not counted.daemons:
            counted.start()
        counted.snapshot()
        for number in range(3):
            before = log_of(journal)
            (counted.root / f"d{number}/0000{number}.png").write_bytes(b"changed at %d" % count)
            counted.snapshot()
            after = log_of(journal)
            assert before.salts == after.salts, "the log was begun anew meanwhile"
            costs[count, number] = after.commits - before.commits
    assert max(costs.values()) <= MOST_TRANSACTIONS
