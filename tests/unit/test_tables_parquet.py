"""Rows as Parquet: every kind comes back as it was, and the same rows are the same bytes."""

from __future__ import annotations

import math
import stat
import struct
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syncd.sources.tables import parquet
from syncd.sources.tables.base import Column, Kind, Row, TableFaultError

ROOT = Path(__file__).parents[2]
ID = Column(name="id", kind=Kind.INTEGER, declared="bigint")
NOON = datetime(2024, 6, 1, 12, 30, 15, 123456)  # noqa: DTZ001


def column(kind: Kind, **more: object) -> Column:
    return Column(name="value", kind=kind, declared=f"a {kind}", **more)


def array(element: Kind) -> Column:
    return column(Kind.ARRAY, element=element)


# A column, values of it, the same as pyarrow reads them back, and Arrow's word for the type.
KINDS = [
    (column(Kind.BOOLEAN), [True, False], None, "bool"),
    (column(Kind.INTEGER), [-(2**63), 0, 2**63 - 1], None, "int64"),
    (
        column(Kind.DECIMAL, precision=10, scale=2),
        [Decimal("-12345678.90"), Decimal("0.01")],
        None,
        "decimal128(10, 2)",
    ),
    (
        column(Kind.DECIMAL, precision=76, scale=0),
        [Decimal("9" * 76), Decimal("-" + "9" * 76)],
        None,
        "decimal256(76, 0)",
    ),
    (column(Kind.DECIMAL), [Decimal("1E+30"), Decimal("-1.50")], ["1" + "0" * 30, "-1.50"], "string"),
    (column(Kind.FLOAT), [0.1, -0.0, math.inf, -math.inf, 5e-324], None, "double"),
    (column(Kind.TEXT), ["", "é漢😀", "a\0b", "x" * 100_000], None, "string"),
    (column(Kind.BYTES), [b"", b"\0\xff", bytes(range(256))], None, "binary"),
    (column(Kind.DATE), [date.min, date(1969, 12, 31), date.max], None, "date32[day]"),
    (column(Kind.TIME), [time.min, time(1, 2, 3, 4), time.max], None, "time64[us]"),
    (column(Kind.TIMESTAMP), [datetime.min, NOON, datetime.max], None, "timestamp[us]"),  # noqa: DTZ901
    (column(Kind.TIMESTAMP_TZ), [NOON.replace(tzinfo=UTC)], None, "timestamp[us, tz=UTC]"),
    (column(Kind.JSON), ['{"a": [1, null]}', "null"], None, "string"),
    (array(Kind.INTEGER), [[], [1, None, -1], [None]], None, "list<element: int64>"),
    (array(Kind.TEXT), [["é", "", None], []], None, "list<element: string>"),
    (array(Kind.FLOAT), [[0.5]], None, "list<element: double>"),
    (array(Kind.BOOLEAN), [[True, None], [False]], None, "list<element: bool>"),
    (array(Kind.DECIMAL), [[Decimal("1.50"), None]], [["1.50", None]], "list<element: string>"),
    (array(Kind.TIMESTAMP_TZ), [[NOON.replace(tzinfo=UTC)]], None, "list<element: timestamp[us, tz=UTC]>"),
]
_IDS = [f"{column.kind}-{column.element or column.precision}" for column, *_ in KINDS]


def rows_of(values: list[object]) -> list[Row]:
    return list(enumerate([None, *values, None]))


def digest(columns: list[Column], rows: list[Row]) -> bytes:
    return parquet.rows_digest(columns, parquet.to_table(columns, rows, 0))


@pytest.mark.parametrize(("column", "values", "read", "word"), KINDS, ids=_IDS)
def test_every_kind_comes_back(
    tmp_path: Path, column: Column, values: list[object], read: list[object] | None, word: str
) -> None:
    table = parquet.to_table([ID, column], rows_of(values), 0)
    parquet.write_part(tmp_path / "part-0.parquet", table)
    back = pq.read_table(tmp_path / "part-0.parquet")
    assert back.equals(table, check_metadata=True)
    assert str(back.schema.field("value").type) == word
    assert back.column("value").to_pylist() == [None, *(read or values), None]


@pytest.mark.parametrize(("column", "values", "read", "word"), KINDS, ids=_IDS)
def test_the_digest_sees_every_value_and_no_chunks(
    column: Column, values: list[object], read: list[object] | None, word: str
) -> None:
    columns, rows = [ID, column], rows_of(values)
    whole = parquet.to_table(columns, rows, 0)
    assert str(whole.schema.field(1).type) == word
    assert len(whole) == len(read or values) + 2
    chunked = pa.concat_tables([whole.slice(at, 1) for at in range(len(whole))])
    offset = pa.concat_tables([parquet.to_table(columns, [(0, None), *rows], 0).slice(1)])
    wanted = parquet.rows_digest(columns, whole)
    assert parquet.rows_digest(columns, chunked) == wanted
    assert parquet.rows_digest(columns, offset) == wanted
    for at, (key, value) in enumerate(rows):
        other = values[0] if value is None else None
        assert digest(columns, [*rows[:at], (key, other), *rows[at + 1 :]]) != wanted
    assert digest(columns, rows[:-1]) != wanted


def test_the_digest_tells_apart_what_looks_alike() -> None:
    text, number = column(Kind.TEXT), column(Kind.INTEGER)
    tags, floats = array(Kind.TEXT), column(Kind.FLOAT)
    seen = [
        digest([ID, text], [(1, None)]),
        digest([ID, text], [(1, "")]),
        digest([ID, text], [(1, "ab"), (2, "c")]),
        digest([ID, text], [(1, "a"), (2, "bc")]),
        digest([ID, number], [(1, 0)]),
        digest([ID, column(Kind.JSON)], [(1, "")]),
        digest([ID, tags], [(1, []), (2, ["a"])]),
        digest([ID, tags], [(1, ["a"]), (2, [])]),
        digest([ID, tags], [(1, None), (2, ["a"])]),
        digest([ID, tags], [(1, [None]), (2, ["a"])]),
        digest([ID, floats], [(1, 0.0)]),
        digest([ID, floats], [(1, -0.0)]),
        digest([ID, column(Kind.DECIMAL, precision=5, scale=1)], [(1, Decimal(0))]),
        digest([ID, column(Kind.DECIMAL, precision=5, scale=2)], [(1, Decimal(0))]),
        digest([ID], [(1,)]),
        digest([ID], []),
    ]
    assert len(set(seen)) == len(seen)


def test_nan_is_equal_to_itself_and_equal_values_are_equal() -> None:
    assert digest([ID, column(Kind.FLOAT)], [(1, math.nan)]) == digest([ID, column(Kind.FLOAT)], [(1, float("nan"))])
    price = column(Kind.DECIMAL, precision=10, scale=2)
    assert digest([ID, price], [(1, Decimal("1.5"))]) == digest([ID, price], [(1, Decimal("1.50"))])
    instant, there = NOON.replace(tzinfo=UTC), timezone(timedelta(hours=2))
    zoned = column(Kind.TIMESTAMP_TZ)
    assert digest([ID, zoned], [(1, instant)]) == digest([ID, zoned], [(1, instant.astimezone(there))])


def test_nan_of_another_sign_is_nan_all_the_same() -> None:
    (negative,) = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000000))
    floats = column(Kind.FLOAT)
    assert digest([ID, floats], [(1, negative)]) == digest([ID, floats], [(1, math.nan)])
    many = array(Kind.FLOAT)
    assert digest([ID, many], [(1, [negative])]) == digest([ID, many], [(1, [math.nan])])


def test_the_digest_is_pinned() -> None:
    """Another one would have every part of every table written anew: then raise DIGEST_FORM too."""
    columns = [ID, column(Kind.TEXT), array(Kind.INTEGER)]
    rows = [(1, "é", [1, None]), (2, None, None)]
    assert digest(columns, rows).hex() == "d56e1d3d0abdc1196a6592e0f95526c3c3cdaea3a0fa33e6ae9c8309f7b12cec"


def test_the_declared_type_changes_no_part() -> None:
    renamed = Column(name="value", kind=Kind.TEXT, declared="varchar(40)")
    assert digest([ID, renamed], [(1, "a")]) == digest([ID, column(Kind.TEXT)], [(1, "a")])
    assert parquet.arrow_schema([renamed]).equals(parquet.arrow_schema([column(Kind.TEXT)]), check_metadata=True)


def test_the_schema_tells_json_from_text() -> None:
    schema = parquet.arrow_schema([column(Kind.JSON), array(Kind.JSON), column(Kind.TEXT), column(Kind.DECIMAL)])
    assert schema.field(0).metadata == {b"syncd.kind": b"json"}
    assert schema.field(1).type.value_field.metadata == {b"syncd.kind": b"json"}
    assert schema.field(2).metadata is None
    assert schema.field(3).metadata == {b"syncd.kind": b"decimal"}


@pytest.mark.parametrize(
    ("wrong", "value", "why"),
    [
        (column(Kind.INTEGER), 2**63, "large"),
        (column(Kind.INTEGER), 1.5, "another type"),
        (column(Kind.INTEGER), True, "another type"),
        (column(Kind.FLOAT), "1", "another type"),
        (column(Kind.DECIMAL, precision=4, scale=2), Decimal("123.45"), "precision"),
        (column(Kind.DECIMAL, precision=4, scale=2), Decimal("1.234"), "data loss"),
        (column(Kind.DECIMAL, precision=4, scale=2), Decimal("NaN"), "NaN"),
        (column(Kind.DECIMAL, precision=40, scale=0), Decimal("1e41"), "precision"),
        (column(Kind.TEXT), "\ud800", "surrogates"),
        (column(Kind.TEXT), b"x", "another type"),
        (column(Kind.BYTES), "x", "another type"),
        (column(Kind.DATE), NOON, "another type"),
        (column(Kind.TIMESTAMP), NOON.replace(tzinfo=UTC), "another type"),
        (column(Kind.TIMESTAMP_TZ), NOON, "another type"),
        (array(Kind.INTEGER), [1, "x"], "another type"),
        (array(Kind.INTEGER), [2**63], "large"),
        (array(Kind.INTEGER), [[1]], "another type"),
    ],
)
def test_a_value_that_does_not_fit_is_named(wrong: Column, value: object, why: str) -> None:
    rows = [(1, None), (17, value), (18, None)]
    with pytest.raises(TableFaultError, match="column \"value\", row with key '17'") as failure:
        parquet.to_table([ID, wrong], rows, 0)
    assert why in str(failure.value)


def test_too_many_digits_are_refused_before_a_row_is_read() -> None:
    with pytest.raises(TableFaultError, match="more than 76 digits"):
        parquet.arrow_schema([column(Kind.DECIMAL, precision=77, scale=0)])


def test_files_are_the_same_bytes_private_and_whole(tmp_path: Path) -> None:
    columns = [ID, column(Kind.TEXT)]
    rows: list[Row] = [(key, f"row {key % 100}") for key in range(5_000)]
    for name in ("a", "b"):
        parquet.write_part(tmp_path / name, parquet.to_table(columns, list(rows), 0))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


MOST_OF_ARROW = """
import random, sys
from pathlib import Path
import pyarrow as pa
from syncd.sources.tables import parquet
from tests.unit.test_tables_parquet import ID, Kind, column
columns, rng = (ID, column(Kind.TEXT)), random.Random(1)
table = parquet.to_table(columns, [(key, rng.randbytes(25_000).hex()) for key in range(480)], 0)
parquet.write_part(Path(sys.argv[1]), table)
print(pa.default_memory_pool().max_memory() / table.nbytes)
"""


def test_arrow_holds_a_part_of_wide_rows_once(tmp_path: Path) -> None:
    """P7. Neither the room that a chunk needs while it grows, nor a page that is a copy of the whole part."""
    command = [sys.executable, "-c", MOST_OF_ARROW, str(tmp_path / "part")]
    times = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout
    assert float(times) < 1.5


def test_wide_rows_come_back_and_are_the_same_bytes(tmp_path: Path) -> None:
    rows: list[Row] = [(key, f"{key}" * 10_000 if key % 5 else None) for key in range(200)]
    columns = (ID, column(Kind.TEXT))
    table = parquet.to_table(columns, rows, 0)
    assert table.column(1).num_chunks > 3
    for name in ("a", "b"):
        parquet.write_part(tmp_path / name, parquet.to_table(columns, list(rows), 0))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.read_table(tmp_path / "a").to_pylist() == [{"id": key, "value": value} for key, value in rows]
    assert parquet.rows_digest(columns, table) == parquet.rows_digest(columns, table.combine_chunks())


def test_ordinary_rows_are_laid_out_as_one() -> None:
    """As ever: another layout would be other bytes for the same rows."""
    for rows in ([], [(key, "x" * 1900) for key in range(9_000)]):
        assert parquet.to_table((ID, column(Kind.TEXT)), rows, 0).column(1).num_chunks == 1


def test_without_pyarrow_the_next_step_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TableFaultError) as failure:
        parquet.arrow_schema([ID])
    assert failure.value.next_step == 'pip install "syncd[parquet]"'
