"""Tables as CSV: the same text for the same rows."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from syncd.sources.tables.base import Column, Kind, TableFaultError
from syncd.sources.tables.csv_text import text_of, write_csv

ID = Column(name="id", kind=Kind.INTEGER, declared="bigint")
TEXT = Column(name="label", kind=Kind.TEXT, declared="text")


def written(path: Path, columns: list[Column], *rows: tuple[object, ...]) -> str:
    write_csv(path, columns, [rows], 0)
    return path.read_bytes().decode()


def test_null_and_the_empty_text_differ(tmp_path: Path) -> None:
    assert written(tmp_path / "t.csv", [ID, TEXT], (1, None), (2, ""), (3, " x ")) == 'id,label\n1,\n2,""\n3, x \n'


def test_what_would_break_a_line_is_quoted(tmp_path: Path) -> None:
    values = ['a "b"', "a,b", "a\nb", "a\rb", "é漢😀"]
    text = written(tmp_path / "t.csv", [ID, TEXT], *enumerate(values))
    assert text.startswith('id,label\n0,"a ""b"""\n1,"a,b"\n2,"a\nb"\n')
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert [row[1] for row in csv.reader(file, strict=True)][1:] == values


def test_names_of_columns_are_quoted_too(tmp_path: Path) -> None:
    assert written(tmp_path / "t.csv", [ID, Column(name="a,b", kind=Kind.TEXT, declared="text")]) == 'id,"a,b"\n'


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.BOOLEAN, True, "true"),
        (Kind.BOOLEAN, False, "false"),
        (Kind.INTEGER, -5, "-5"),
        (Kind.DECIMAL, Decimal("1E+3"), "1000"),
        (Kind.DECIMAL, Decimal("1.50"), "1.50"),
        (Kind.FLOAT, 0.1, "0.1"),
        (Kind.FLOAT, float("nan"), "nan"),
        (Kind.FLOAT, float("-inf"), "-inf"),
        (Kind.BYTES, b"\x00\xff", "00ff"),
        (Kind.DATE, date(2024, 2, 29), "2024-02-29"),
        (Kind.TIME, time(1, 2, 3, 4), "01:02:03.000004"),
        (Kind.TIMESTAMP, datetime(2024, 2, 29, 1), "2024-02-29T01:00:00"),  # noqa: DTZ001
        (Kind.TIMESTAMP_TZ, datetime(2024, 2, 29, 1, tzinfo=UTC), "2024-02-29T01:00:00Z"),
        (Kind.TIMESTAMP_TZ, datetime(2024, 2, 29, 1, tzinfo=timezone(timedelta(hours=1))), "2024-02-29T00:00:00Z"),
        (Kind.JSON, '{"a": 1}', '{"a": 1}'),
    ],
)
def test_every_kind_has_one_text(kind: Kind, value: object, text: str) -> None:
    assert text_of(kind)(value) == text


@pytest.mark.parametrize(
    ("element", "values", "parsed"),
    [
        (Kind.INTEGER, [1, None, 2**60], [1, None, 2**60]),
        (Kind.TEXT, ["a", "é", None], ["a", "é", None]),
        (Kind.BOOLEAN, [True, False], [True, False]),
        (Kind.FLOAT, [0.5, float("nan")], [0.5, "nan"]),
        (Kind.DECIMAL, [Decimal("1.50")], ["1.50"]),
        (Kind.DATE, [date(2024, 1, 1)], ["2024-01-01"]),
        (Kind.BYTES, [b"\xff"], ["ff"]),
    ],
)
def test_arrays_are_json(element: Kind, values: list[object], parsed: list[object]) -> None:
    assert json.loads(text_of(Kind.ARRAY, element=element)(values)) == parsed


def test_a_decimal_has_as_many_digits_as_its_column(tmp_path: Path) -> None:
    price = Column(name="price", kind=Kind.DECIMAL, declared="numeric(10,2)", precision=10, scale=2)
    assert (
        written(tmp_path / "t.csv", [ID, price], (1, Decimal("1.5")), (2, Decimal(7))) == "id,price\n1,1.50\n2,7.00\n"
    )
    with pytest.raises(TableFaultError, match=r"row with key '8'.*more than 2 digits"):
        written(tmp_path / "t.csv", [ID, price], (7, Decimal(1)), (8, Decimal("1.555")))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (ID, 1.5),
        (ID, True),
        (TEXT, "\ud800"),
        (TEXT, 5),
        (Column(name="d", kind=Kind.DATE, declared="date"), datetime(2024, 1, 1, tzinfo=UTC)),
        (Column(name="t", kind=Kind.TIMESTAMP_TZ, declared="timestamptz"), datetime(2024, 1, 1)),  # noqa: DTZ001
        (Column(name="a", kind=Kind.ARRAY, declared="int[]", element=Kind.INTEGER), ["x"]),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_leaves_no_file(tmp_path: Path, column: Column, value: object) -> None:
    key = Column(name="key", kind=Kind.TEXT, declared="text")
    with pytest.raises(TableFaultError, match=f"column \"{column.name}\", row with key 'k2'"):
        written(tmp_path / "t.csv", [key, column], ("k1", None), ("k2", value))
    assert list(tmp_path.iterdir()) == []


def test_batches_make_no_difference_and_the_fingerprint_is_that_of_the_file(tmp_path: Path) -> None:
    rows = [(key, f"row {key}") for key in range(1_000)]
    one = write_csv(tmp_path / "1.csv", [ID, TEXT], [rows], 0)
    many = write_csv(tmp_path / "2.csv", [ID, TEXT], (rows[at : at + 7] for at in range(0, 1_000, 7)), 0)
    body = (tmp_path / "1.csv").read_bytes()
    assert one == many
    assert one.rows == 1_000
    assert one.fingerprint.sha256 == hashlib.sha256(body).digest()
    assert one.fingerprint.md5 == hashlib.md5(body, usedforsecurity=False).digest()
    assert one.fingerprint.size_bytes == len(body)
