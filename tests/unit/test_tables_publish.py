"""One pass over a table: what is published, what is written, and what is left alone."""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from syncd.model import RowImage, TableObject
from syncd.sources.tables.base import Column, Kind, Row, TableFaultError, TableUnavailableError
from syncd.sources.tables.images import ImageColumn
from syncd.sources.tables.publish import (
    SCHEMA_NAME,
    KnownObject,
    Published,
    Publisher,
    PublishingStoppedError,
    part_of,
)
from syncd.sources.tables.publish_csv import publish_csv
from syncd.sources.tables.spool import Spool

COLUMNS = (
    Column(name="label", kind=Kind.TEXT, declared="text"),
    Column(name="id", kind=Kind.INTEGER, declared="bigint"),
)
IMAGES = ImageColumn(name="label", prefix="none")
SCHEMA = f"tables/labels/{SCHEMA_NAME}"


class Reading:
    """A read of rows made up on the way; "lost" among them loses the connection."""

    key_position = 1

    def __init__(self, rows: Iterator[Row] | Sequence[Row], *, batch: int = 1_000, columns: Sequence[Column] = COLUMNS):
        self.columns, self._rows, self._batch = columns, rows, batch

    def batches(self) -> Iterator[Sequence[Row]]:
        batch: list[Row] = []
        for row in self._rows:
            if row == "lost":
                raise TableUnavailableError("the connection was lost")
            batch.append(row)
            if len(batch) == self._batch:
                yield batch
                batch = []
        yield batch


def table(count: int) -> list[Row]:
    return [(f"label {key}", key) for key in range(count)]


def pass_over(
    rows: object, spool: Spool, known: dict[str, KnownObject] | None = None, **more: object
) -> tuple[Published, list[RowImage]]:
    told: list[RowImage] = []
    reading = rows if isinstance(rows, Reading) else Reading(rows)
    published = Publisher(
        name="labels",
        image_column=more.pop("image_column", IMAGES),
        known=known or {},
        spool=spool,
        target_rows=100,
        on_rows=told.extend,
        **more,
    ).whole(reading)
    return published, told


def known_from(published: Published, *rewrite: str) -> dict[str, KnownObject]:
    return {one.key: KnownObject(published=one, rewrite=one.key in rewrite) for one in published.objects}


def bodies(spool: Spool, published: Published) -> dict[str, bytes]:
    found = {}
    for one in published.objects:
        with spool.open(one.fingerprint.sha256) as file:
            found[one.key] = file.read()
    return found


def parts(published: Published) -> list[TableObject]:
    return [one for one in published.objects if one.key != SCHEMA]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_the_first_pass_writes_everything(spool: Spool, tmp_path: Path) -> None:
    rows = table(2_000)
    published, told = pass_over(rows, spool)
    assert published.rows == 2_000 == sum(one.rows for one in published.objects)
    assert [one.key for one in published.objects] == sorted(one.key for one in published.objects)
    assert published.changed == tuple(part_of(one.key) for one in parts(published))
    assert published.gone == ()
    read: list[Row] = []
    for one in parts(published):
        assert one.signature.size_bytes == one.fingerprint.size_bytes
        found = pq.read_table(tmp_path / "spool" / one.fingerprint.sha256.hex())
        assert len(found) == one.rows
        read += [tuple(row.values()) for row in found.to_pylist()]
    assert read == rows
    assert len(told) == 2_000
    assert told[5] == RowImage("5", "part-0", "images/label 5")
    assert bodies(spool, published)[SCHEMA].decode() == published.schema
    assert json.loads(published.schema)["rows"] == 2_000
    assert json.loads(published.schema)["key"] == "id"


def test_an_unchanged_table_costs_no_body_and_no_row(spool: Spool) -> None:
    first, _ = pass_over(table(2_000), spool)
    spool.sweep([])  # all was uploaded
    second, told = pass_over(table(2_000), spool, known_from(first))
    assert second.objects == first.objects
    assert (second.changed, second.gone, told) == ((), (), [])
    assert not any(spool.holds(one.fingerprint.sha256) for one in second.objects)


def test_one_changed_row_costs_one_part(spool: Spool) -> None:
    rows = table(2_000)
    first, _ = pass_over(rows, spool)
    spool.sweep([])
    rows[1_234] = ("none", 1_234)
    second, told = pass_over(rows, spool, known_from(first))
    assert len(second.changed) == 1
    assert [one.key for one in second.objects if one not in first.objects] == [
        f"tables/labels/{second.changed[0]}.parquet"
    ]
    assert {one.part for one in told} == set(second.changed)
    assert RowImage("1234", second.changed[0], None) in told
    assert sum(spool.holds(one.fingerprint.sha256) for one in second.objects) == 1


def test_a_deleted_first_row_of_a_part_takes_its_name_away(spool: Spool) -> None:
    rows = table(2_000)
    first, _ = pass_over(rows, spool)
    name = first.changed[3]
    rows.remove(rows[int(name.removeprefix("part-"), 16) - 2**63])
    second, told = pass_over(rows, spool, known_from(first))
    assert second.gone == (name,)
    assert second.changed == (first.changed[2],)
    assert second.rows == 1_999
    assert [one.key for one in second.objects if one not in first.objects] == [
        SCHEMA,  # it says how many rows there are
        f"tables/labels/{first.changed[2]}.parquet",
    ]
    assert {one.part for one in told} == {first.changed[2]}


def test_a_body_that_is_needed_again_is_written_again_without_telling_rows(spool: Spool) -> None:
    first, _ = pass_over(table(2_000), spool)
    spool.sweep([])
    lost = parts(first)[2]
    second, told = pass_over(table(2_000), spool, known_from(first, lost.key, SCHEMA))
    assert second.objects == first.objects
    assert (second.changed, told) == ((), [])
    held = [one.key for one in second.objects if spool.holds(one.fingerprint.sha256)]
    assert held == [SCHEMA, lost.key]


def test_an_empty_table_is_its_schema_alone(spool: Spool) -> None:
    published, told = pass_over([], spool)
    assert [one.key for one in published.objects] == [SCHEMA]
    assert (published.rows, published.changed, told) == (0, (), [])
    assert json.loads(published.schema)["rows"] == 0
    full, _ = pass_over(table(10), spool)
    assert pass_over([], spool, known_from(full))[0].gone == ("part-0",)


def test_a_new_column_changes_every_part(spool: Spool) -> None:
    first, _ = pass_over(table(500), spool)
    wider = (*COLUMNS, Column(name="note", kind=Kind.TEXT, declared="text"))
    reading = Reading([(*row, None) for row in table(500)], columns=wider)
    second, _ = pass_over(reading, spool, known_from(first))
    assert second.changed == first.changed


def test_batches_make_no_difference_to_any_byte(tmp_path: Path) -> None:
    seen = []
    for batch in (1, 7, 100, 10_000):
        spool = Spool(tmp_path / str(batch))
        published, told = pass_over(Reading(table(1_500), batch=batch), spool)
        seen.append((published, told, bodies(spool, published)))
    assert all(one == seen[0] for one in seen)


def test_a_table_without_images_tells_of_rows_all_the_same(spool: Spool) -> None:
    _, told = pass_over(table(3), spool, image_column=None)
    assert told == [RowImage(str(key), "part-0", None) for key in range(3)]


def test_a_null_names_no_image(spool: Spool) -> None:
    _, told = pass_over([(None, 1)], spool)
    assert told == [RowImage("1", "part-0", None)]


def test_an_image_column_that_is_not_there_is_a_fault(spool: Spool) -> None:
    with pytest.raises(TableFaultError, match='"file" is not in the table'):
        pass_over(table(3), spool, image_column=ImageColumn(name="file"))


def test_a_stop_is_prompt(spool: Spool) -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(PublishingStoppedError):
        pass_over(table(100_000), spool, stopped=stopped)
    assert len(asked) == 3


def test_a_lost_connection_leaves_nothing_half_written(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(TableUnavailableError):
        pass_over([*table(1_500), "lost"], spool)
    assert all(len(path.name) == 64 for path in (tmp_path / "spool").iterdir())


def test_a_value_that_does_not_fit_is_named(spool: Spool) -> None:
    rows = table(1_500)
    rows[777] = (5, 777)
    with pytest.raises(TableFaultError, match="column \"label\", row with key '777'"):
        pass_over(rows, spool)


def test_keys_out_of_order_never_replace_a_part(spool: Spool) -> None:
    """Who reads checks the order; a mistake there must not lose rows here."""
    with pytest.raises(TableFaultError, match="two parts of the table"):
        pass_over([*table(1_500), *table(1_500)], spool)


def test_memory_does_not_grow_with_the_table(spool: Spool) -> None:
    """300,000 rows, the usual size of parts."""

    def rows(count: int) -> Iterator[Row]:
        return ((f"label of the row with the number {key}", key) for key in range(count))

    def run(count: int) -> None:
        Publisher(name="labels", image_column=None, known={}, spool=spool).whole(Reading(rows(count)))

    run(1_000)  # what is loaded once is no growth
    gc.collect()
    process = psutil.Process()
    before, peak = process.memory_info().rss, 0

    def look(_: Sequence[RowImage] = ()) -> bool:  # before each batch, and when a part was just encoded
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        return False

    publisher = Publisher(name="labels", image_column=IMAGES, known={}, spool=spool, stopped=look, on_rows=look)
    publisher.whole(Reading(rows(300_000)))
    assert peak - before < 70 << 20


# Under exclude.


def shown(published: Published, tmp_path: Path) -> list[int]:
    """The keys in what is published."""
    tables = [pq.read_table(tmp_path / "spool" / one.fingerprint.sha256.hex()) for one in parts(published)]
    return [key for found in tables for key in found.column("id").to_pylist()]


def test_rows_whose_image_is_not_there_are_left_out_and_told_as_such(spool: Spool, tmp_path: Path) -> None:
    rows = table(2_000)
    published, told = pass_over(rows, spool, there=lambda images: {one for one in images if not one.endswith("7")})
    left_out = [key for _, key in rows if str(key).endswith("7")]
    assert shown(published, tmp_path) == [key for _, key in rows if key not in left_out]
    assert [int(one.row_key) for one in told if not one.shown] == left_out
    assert (published.rows, sum(one.rows for one in published.objects)) == (2_000, 2_000)
    assert sum(one.hidden for one in published.objects) == len(left_out)
    with spool.open(next(one.fingerprint.sha256 for one in published.objects if one.key == SCHEMA)) as file:
        assert json.load(file)["rows"] == 2_000 - len(left_out)


def test_a_part_of_which_nothing_is_shown_stays_as_one_without_rows(spool: Spool, tmp_path: Path) -> None:
    published, told = pass_over(table(300), spool, there=lambda _: ())
    everything, _ = pass_over(table(300), spool)
    assert [one.key for one in published.objects] == [one.key for one in everything.objects]
    assert shown(published, tmp_path) == []
    assert not any(one.shown for one in told)


def test_only_parts_that_show_other_rows_or_hold_other_ones_are_made_and_told_anew(spool: Spool) -> None:
    rows = table(2_000)
    away = {IMAGES.key_of("label 1000")}

    def there(images: Collection[str]) -> set[str]:
        return set(images) - away

    first, _ = pass_over(rows, spool, there=there)
    again, told = pass_over(rows, spool, known_from(first), there=there)
    assert (again.changed, told) == ((), [])
    assert again.objects == first.objects
    away.clear()
    back, told = pass_over(rows, spool, known_from(first), there=there)
    assert len(back.changed) == 1
    assert "1000" in {one.row_key for one in told}
    assert all(one.shown for one in told)
    whole, _ = pass_over(rows, spool)
    assert back.objects == whole.objects
    # A row that is left out, too, is told of when it comes, although nothing that is published changes but its count.
    away.add(IMAGES.key_of("new"))
    more, told = pass_over([*rows, ("new", 5_000)], spool, known_from(back), there=there)
    assert more.rows == 2_001
    assert [one.row_key for one in told if not one.shown] == ["5000"]
    assert {one.key: one.fingerprint for one in more.objects} == {one.key: one.fingerprint for one in back.objects}


def test_a_text_file_leaves_them_out_as_well(spool: Spool) -> None:
    told: list[RowImage] = []
    published = publish_csv(
        Reading([("a", 1), ("b", 2), ("none", 3)]),
        name="labels",
        image_column=IMAGES,
        known={},
        spool=spool,
        on_rows=told.extend,
        there=lambda images: {"images/a"} & set(images),
    )
    (made,) = published.objects
    with spool.open(made.fingerprint.sha256) as file:
        assert file.read() == b"label,id\na,1\n"
    assert (published.rows, made.rows, made.hidden) == (3, 3, 2)
    assert [(one.row_key, one.image, one.shown) for one in told] == [
        ("1", "images/a", True),
        ("2", "images/b", False),
        ("3", None, False),
    ]
