"""A CSV file that lost more rows than may go unasked is held until a person agrees, or until the rows are back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from syncd.model import DeletionLimits
from tests.support.watching import now, sha256
from tests.unit.test_sources_csv import KEY, Table, running


def rows(count: int) -> bytes:
    return b"id,image\n" + b"".join(b"%d,%d.jpg\n" % (number, number) for number in range(count))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(rows(100))
    return path


@pytest.fixture
async def table(path: Path) -> Table:
    """A source that looks when it is asked, and has accepted a hundred rows."""
    table = Table(path)
    assert await table.barrier() == []
    return table


def assert_held(table: Table, path: Path, gone: str) -> None:
    """Nothing of the version on disk is recorded, and everyone is told why: status, and who asks for a snapshot."""
    assert table.inventory.contents() == {KEY: sha256(rows(100))}
    assert table.inventory.tables == {"labels": (sha256(rows(100)), 100, 2)}
    assert table.inventory.codes() == {str(path): "held"}
    assert gone in table.inventory.problems["labels", str(path)].detail
    health = table.source.health()
    assert gone in health.hold
    assert health.reason == health.hold
    assert (health.available, health.complete, health.skipped) == (True, True, {"held": 1})


async def test_many_rows_that_are_gone_wait_and_an_approval_lets_them_go(path: Path) -> None:
    """P5. It goes by itself then: with no poll and no event there is only the approval to wake it."""
    async with running(path, poll_seconds=3600.0, events=False) as table:
        await table.until_recorded(rows(100))
        path.write_bytes(rows(60))
        (left_out,) = await table.source.barrier(now())
        while "changing" in left_out.reason:
            (left_out,) = await table.source.barrier(now())
        assert left_out.path == str(path)
        assert left_out.reason == (
            "40 of 100 rows of labels are gone (40 %), as after a TRUNCATE or a half-done load;"
            " the last version stays published. If it is intended: syncd approve"
        )
        assert_held(table, path, "40 of 100 rows")

        assert table.source.approve() == left_out.reason
        assert (table.source.health().hold, table.source.approve()) == ("", "")
        await table.until_recorded(rows(60))
        assert await table.barrier() == []
        assert table.inventory.codes() == {}
        assert table.source.health().hold == ""


async def test_an_approval_is_for_what_was_shown_and_not_for_what_goes_later(path: Path, table: Table) -> None:
    path.write_bytes(rows(60))
    await table.barrier()
    path.write_bytes(rows(59))
    assert "40 of 100" in table.source.approve()
    assert "41 of 100 rows" in (await table.barrier())[0]
    assert_held(table, path, "41 of 100 rows")

    assert "41 of 100" in table.source.approve()
    assert await table.barrier() == []
    assert table.inventory.contents() == {KEY: sha256(rows(59))}


async def test_rows_that_come_back_need_no_word_and_use_up_an_approval(path: Path, table: Table) -> None:
    for approved in (False, True):
        path.write_bytes(rows(60))
        assert "40 of 100" in (await table.barrier())[0]
        assert not approved or table.source.approve()
        path.write_bytes(rows(100))
        assert await table.barrier() == []
        assert table.inventory.codes() == {}
        assert (table.source.health().hold, table.source.approve()) == ("", "")
    path.write_bytes(rows(60))
    await table.barrier()
    assert_held(table, path, "40 of 100 rows")


async def test_the_last_row_of_a_small_table_is_held_too_and_can_be_approved(path: Path) -> None:
    path.write_bytes(rows(2))
    table = Table(path)
    await table.barrier()
    path.write_bytes(rows(1))
    assert await table.barrier() == []
    path.write_bytes(rows(0))
    assert "2 of 2 rows" in (await table.barrier())[0]
    assert table.source.approve()
    assert await table.barrier() == []
    assert table.inventory.tables["labels"][1] == 0


@pytest.mark.parametrize(
    ("limits", "left", "held"),
    [
        ({"max_delete_percent": 40}, 60, False),
        ({"max_delete_percent": 40}, 59, True),
        ({"max_delete_count": 10}, 90, False),
        ({"max_delete_count": 10}, 89, True),
        ({"min_objects": 101}, 1, False),
    ],
)
async def test_the_limits_are_those_it_was_told(path: Path, limits: dict[str, int], left: int, *, held: bool) -> None:
    table = Table(path, limits=DeletionLimits(**limits))
    await table.barrier()
    path.write_bytes(rows(left))
    await table.barrier()
    assert bool(table.source.health().hold) is held


async def test_a_file_that_loses_rows_in_small_pieces_is_held(path: Path, table: Table) -> None:
    """P5: no version loses a quarter of the one before, and within the hour all of them would be gone."""
    for left in (80, 90, 76):
        path.write_bytes(rows(left))
        assert await table.barrier() == []
    path.write_bytes(rows(74))
    assert "26 of 100 rows of labels are gone (26 %, within an hour)" in (await table.barrier())[0]
    assert table.inventory.tables["labels"][1] == 76
    assert table.source.approve()
    assert await table.barrier() == []
    path.write_bytes(rows(56))
    assert await table.barrier() == []  # counted from what was agreed to


async def test_a_restart_does_not_make_a_loss_in_small_pieces_smaller(path: Path, table: Table) -> None:
    path.write_bytes(rows(80))
    assert await table.barrier() == []
    table.inventory.published["labels"] = [(now() - timedelta(hours=3), 100), (now(), 80)]
    again = Table(path, table.inventory)
    path.write_bytes(rows(74))
    assert "26 of 100 rows" in (await again.barrier())[0]


async def test_a_held_version_is_held_again_after_a_restart_and_is_not_read_again_meanwhile(
    path: Path, table: Table
) -> None:
    path.write_bytes(rows(60))
    again = Table(path)
    again.inventory = table.inventory
    again.source = type(table.source)(table.source._settings, table.inventory, clock=now)
    await again.barrier()
    assert_held(again, path, "40 of 100 rows")
    reads = again.inventory.calls["known_table"]
    await again.barrier()
    assert again.inventory.calls["known_table"] == reads


async def test_the_rows_of_a_held_version_are_compared_with_no_image(path: Path) -> None:
    table = Table(path, keeps_rows=True)
    await table.barrier()
    assert len(table.inventory.rows["labels"]) == 100
    path.write_bytes(rows(60))
    await table.barrier()
    assert len(table.inventory.rows["labels"]) == 100
    table.source.approve()
    await table.barrier()
    assert len(table.inventory.rows["labels"]) == 60


async def test_a_held_file_that_is_gone_cannot_be_approved_and_is_held_when_it_is_back(
    path: Path, table: Table
) -> None:
    path.write_bytes(rows(60))
    await table.barrier()
    path.rename(path.with_name("aside"))
    assert await table.barrier() == ["it cannot be opened: No such file or directory"]
    assert table.source.approve() == ""
    path.with_name("aside").rename(path)
    await table.barrier()
    assert_held(table, path, "40 of 100 rows")
