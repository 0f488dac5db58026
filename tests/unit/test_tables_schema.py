"""What is published about a table's columns, and which changes of them need a person."""

from __future__ import annotations

import json

import pytest

from syncd.sources.tables.base import Column, Kind
from syncd.sources.tables.schema import SchemaChange, compare, schema_json

ID = Column(name="id", kind=Kind.INTEGER, declared="bigint")
LABEL = Column(name="label", kind=Kind.TEXT, declared="character varying(20)")
PRICE = Column(name="price", kind=Kind.DECIMAL, declared="numeric(10,2)", precision=10, scale=2)
TAGS = Column(name="tags", kind=Kind.ARRAY, declared="text[]", element=Kind.TEXT)


def published(*columns: Column) -> str:
    return schema_json("labels", columns, "id", 3).decode()


def decimal(precision: int | None, scale: int | None = None) -> Column:
    return Column(name="price", kind=Kind.DECIMAL, declared="numeric", precision=precision, scale=scale)


def test_the_schema_is_the_same_bytes_for_the_same_columns() -> None:
    body = schema_json("labels", [ID, PRICE, TAGS], "id", 3)
    assert body == schema_json("labels", (ID, PRICE, TAGS), "id", 3)
    assert body.endswith(b"}\n")
    assert json.loads(body) == {
        "name": "labels",
        "key": "id",
        "rows": 3,
        "columns": [
            {"name": "id", "kind": "integer", "type": "bigint"},
            {"name": "price", "kind": "decimal", "type": "numeric(10,2)", "precision": 10, "scale": 2},
            {"name": "tags", "kind": "array", "type": "text[]", "element": "text"},
        ],
    }
    assert list(json.loads(body)) == ["columns", "key", "name", "rows"]


def test_names_in_any_script_stay_readable() -> None:
    body = schema_json("étiquettes", [Column(name="色", kind=Kind.TEXT, declared="text")], "色", 0)
    assert "色" in body.decode()


def test_a_table_published_for_the_first_time_differs_from_nothing() -> None:
    assert compare("", [ID], "id") == SchemaChange()


def test_no_change_is_none() -> None:
    assert compare(published(ID, LABEL, PRICE, TAGS), [ID, LABEL, PRICE, TAGS], "id") == SchemaChange()


def test_a_declared_type_that_is_published_alike_is_no_change() -> None:
    wider = Column(name="label", kind=Kind.TEXT, declared="text")
    assert compare(published(ID, LABEL), [ID, wider], "id") == SchemaChange()


def test_new_columns_and_another_order_flow() -> None:
    assert compare(published(ID, LABEL), [LABEL, PRICE, ID], "id") == SchemaChange(
        flows=('column "price" is new', "the columns are in another order")
    )


@pytest.mark.parametrize(
    ("columns", "key", "reason"),
    [
        ([ID, PRICE], "id", 'column "label" is gone'),
        (
            [ID, Column(name="label", kind=Kind.INTEGER, declared="integer"), PRICE],
            "id",
            'column "label" was text and is integer now',
        ),
        ([ID, LABEL, decimal(9, 2)], "id", 'column "price" was decimal(10,2) and is decimal(9,2) now'),
        ([ID, LABEL, decimal(10, 3)], "id", 'column "price" was decimal(10,2) and is decimal(10,3) now'),
        ([ID, LABEL, decimal(None)], "id", 'column "price" was decimal(10,2) and is decimal without limits now'),
        ([ID, LABEL, PRICE], "label", 'the key was column "id" and is column "label" now'),
    ],
)
def test_what_can_break_a_reader_is_a_reason_to_hold(columns: list[Column], key: str, reason: str) -> None:
    assert compare(published(ID, LABEL, PRICE), columns, key) == SchemaChange(reasons=(reason,))


@pytest.mark.parametrize("wider", [decimal(12, 2), decimal(12, 4), decimal(11, 3)])
def test_a_wider_decimal_flows(wider: Column) -> None:
    change = compare(published(ID, PRICE), [ID, wider], "id")
    assert change.reasons == ()
    assert len(change.flows) == 1


def test_another_element_of_an_array_is_a_reason() -> None:
    numbers = Column(name="tags", kind=Kind.ARRAY, declared="integer[]", element=Kind.INTEGER)
    assert compare(published(ID, TAGS), [ID, numbers], "id").reasons == (
        'column "tags" was array of text and is array of integer now',
    )


def test_a_renamed_column_is_one_gone_and_one_new() -> None:
    renamed = Column(name="class", kind=Kind.TEXT, declared="text")
    assert compare(published(ID, LABEL), [ID, renamed], "id") == SchemaChange(
        flows=('column "class" is new',), reasons=('column "label" is gone',)
    )
