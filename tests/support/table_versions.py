"""Table versions for tests, from keys and contents."""

from __future__ import annotations

from datetime import datetime

from syncd.model import Signature, TableObject, TableVersion
from tests.support.observing import START, fingerprint


def table_object(key: str, content: bytes, *, rows: int = 0, hidden: int = 0, rows_digest: bytes = b"") -> TableObject:
    return TableObject(
        key=key,
        fingerprint=fingerprint(content),
        signature=Signature(len(content), 1, 1, 7),
        rows=rows,
        hidden=hidden,
        rows_digest=rows_digest,
    )


def table_version(
    name: str, *objects: TableObject, columns: int = 2, schema: str = "", at: datetime = START
) -> TableVersion:
    return TableVersion(
        name=name,
        objects=tuple(sorted(objects, key=lambda found: found.key)),
        rows=sum(found.rows for found in objects),
        columns=columns,
        schema=schema,
        observed_at=at,
        reason="poll",
    )


def csv_version(name: str, content: bytes, *, rows: int, columns: int = 2) -> TableVersion:
    return table_version(name, table_object(f"tables/{name}.csv", content, rows=rows), columns=columns)
