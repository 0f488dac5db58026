"""What a table's columns are, as published beside its parts; and whether others may take their place. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from syncd.sources.tables.base import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.sources.tables.images import ImageColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """How the columns of a table differ from those published last: sentences without a full stop."""

    flows: tuple[str, ...] = ()  # what no reader of the old columns can stumble over
    reasons: tuple[str, ...] = ()  # what one can: each is a reason to hold the table until a person agrees


def schema_json(name: str, columns: Sequence[Column], key: str, rows: int, image: ImageColumn | None = None) -> bytes:
    """Return the body of ``_schema.json``: same arguments, same bytes.

    The "type" of a column is the database's own word for it; what does not apply to a column is left out. "image" says
    how a row's image is found, for who reads the table.
    """
    document = {"name": name, "key": key, "rows": rows, "columns": [_described(column) for column in columns]}
    if image is not None:
        document["image"] = _image(image)
    return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"


def columns_in(schema: str | bytes) -> list[Column]:
    """Return the columns that the body of a ``_schema.json`` tells of, in their order."""
    return [
        Column(
            name=told["name"],
            kind=Kind(told["kind"]),
            declared=told["type"],
            precision=told.get("precision"),
            scale=told.get("scale"),
            element=Kind(told["element"]) if "element" in told else None,
        )
        for told in json.loads(schema)["columns"]
    ]


def compare(old_json: str, new_columns: Sequence[Column], new_key: str) -> SchemaChange:
    """Return how a table's columns changed since a schema was published.

    Columns that are new, in another order, or of a wider type flow. Wider is a decimal with more digits and no fewer
    of them on either side of the point: every value fits it and compares as before. Another declared type that
    is published alike, varchar(40) instead of varchar(20), is no change at all. All else is a reason to hold: a column
    that is gone, another kind of value, fewer digits, limits of digits that come or go (without any, decimals
    are published as text), another key. A column with a new name is one gone and one new.

    Args:
        old_json: As :func:`schema_json` returned it; "" when none was published, which nothing differs from.
        new_columns: What the table has now.
        new_key: The name of its key now.
    """
    if not old_json:
        return SchemaChange()
    document = json.loads(old_json)
    old = {column["name"]: column for column in document["columns"]}
    new = {column.name: _described(column) for column in new_columns}
    flows = [f'column "{name}" is new' for name in new if name not in old]
    reasons = [f'column "{name}" is gone' for name in old if name not in new]
    for name in (name for name in new if name in old):
        before, now = _words(old[name]), _words(new[name])
        if before != now:
            change = f'column "{name}" was {before} and is {now} now'
            (flows if _is_wider(old[name], new[name]) else reasons).append(change)
    if [name for name in old if name in new] != [name for name in new if name in old]:
        flows.append("the columns are in another order")
    if document["key"] != new_key:
        reasons.append(f'the key was column "{document["key"]}" and is column "{new_key}" now')
    return SchemaChange(flows=tuple(flows), reasons=tuple(reasons))


def finds_images_alike(schema: str, image: ImageColumn | None) -> bool:
    """Return whether rows published with a schema named the images that they would name now."""
    before = json.loads(schema).get("image") if schema else None
    return bool(before == (None if image is None else _image(image)))


def _image(image: ImageColumn) -> dict[str, str]:
    return {"column": image.name, "prefix": image.prefix, "pattern": image.pattern}


def _described(column: Column) -> dict[str, Any]:
    described = {
        "name": column.name,
        "kind": column.kind.value,
        "type": column.declared,
        "precision": column.precision,
        "scale": column.scale,
        "element": column.element and column.element.value,
    }
    return {word: value for word, value in described.items() if value is not None}


def _words(described: dict[str, Any]) -> str:
    kind: str = described["kind"]
    if kind == Kind.ARRAY:
        return f"{kind} of {described.get('element', Kind.TEXT)}"
    if kind != Kind.DECIMAL:
        return kind
    if "precision" not in described:
        return "decimal without limits"
    return f"decimal({described['precision']},{described.get('scale', 0)})"


def _is_wider(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if not old["kind"] == new["kind"] == Kind.DECIMAL or "precision" not in old or "precision" not in new:
        return False
    old_scale, new_scale = old.get("scale", 0), new.get("scale", 0)
    return bool(new_scale >= old_scale and new["precision"] - new_scale >= old["precision"] - old_scale)
