"""Which tables a snapshot has, and the objects they are made of; from one listing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from syncd.errors import SyncdError
from syncd.model import IMAGES, TABLES
from syncd.sources.tables.images import ImageColumn
from syncd.sources.tables.roles import roles_in_commit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncd.snapshots.reference import Pinned
    from syncd.store.base import ObjectInfo, VersionStore

SCHEMA_NAME = "_schema.json"  # beside a table's parts
_CSV, _PART, _PARQUET = ".csv", "part-", ".parquet"

Role = Literal["text", "schema", "part"]


class UnknownTableError(SyncdError):
    """The snapshot has no such table."""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table of a snapshot, as its commit tells of it."""

    name: str
    key: str | None  # column whose value names a row; None: the commit does not say, it is of an older syncd
    image_column: str | None  # None: its rows name no images, or as above
    rows: int | None  # without the header; None as above
    form: Literal["csv", "parquet"]
    image_prefix: str = ""  # taken off a value of the image column
    image_pattern: str = ""  # a regular expression that finds the path in one

    @property
    def images(self) -> ImageColumn | None:
        """How a row's image is found."""
        if self.image_column is None:
            return None
        return ImageColumn(name=self.image_column, prefix=self.image_prefix, pattern=self.image_pattern)


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table with its objects."""

    info: TableInfo
    schema: ObjectInfo | None = None  # ``_schema.json``; None for a CSV
    parts: Sequence[ObjectInfo] = field(default=())  # that hold its rows, in their order; of a CSV the one


def image_path(info: TableInfo, value: str) -> str | None:
    """Return the path below ``images/`` that a value of the image column names, or None if it names none."""
    column = info.images
    key = None if column is None else column.key_of(value)
    return None if key is None else key.removeprefix(IMAGES)


def table_of(path: str) -> tuple[str, Role | None]:
    """Return the name of the table that an object belongs to, and what it is of it; None: nothing that is read."""
    name, inside, file = path.removeprefix(TABLES).partition("/")
    if not path.startswith(TABLES):
        return "", None
    if not inside:
        return name.removesuffix(_CSV), "text" if name.endswith(_CSV) else None
    if file == SCHEMA_NAME:
        return name, "schema"
    return name, "part" if file.startswith(_PART) and file.endswith(_PARQUET) else None


def rows_in_commit(said: Mapping[str, str], table: str) -> int | None:
    """Return how many rows a table has by what its commit says, or None if it does not."""
    rows = said.get(f"syncd.rows.{table}", "")
    return int(rows) if rows.isascii() and rows.isdecimal() else None


async def stored_tables(found: Pinned, versions: VersionStore, prefix: str) -> dict[str, StoredTable]:
    """Return the tables of a snapshot by name, sorted. Memory: an entry for each part.

    What lies below ``tables/`` and is no table of syncd's is passed over.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    texts: dict[str, ObjectInfo] = {}
    schemas: dict[str, ObjectInfo] = {}
    parts: dict[str, list[ObjectInfo]] = {}
    async for one in versions.objects(found.commit.id, prefix + TABLES):
        name, role = table_of(one.key.removeprefix(prefix))
        if role == "text":
            texts[name] = one
        elif role == "schema":
            schemas[name] = one
        elif role == "part":
            parts.setdefault(name, []).append(one)
    said = found.commit.metadata
    tables = {name: StoredTable(_info(said, name, "csv"), parts=(one,)) for name, one in texts.items()}
    for name in schemas.keys() | parts.keys():
        tables[name] = StoredTable(_info(said, name, "parquet"), schemas.get(name), parts.get(name, ()))
    return dict(sorted(tables.items()))


async def stored_table(found: Pinned, name: str, versions: VersionStore, prefix: str) -> StoredTable:
    """Return one table of a snapshot.

    Raises:
        UnknownTableError: It has none of this name; the error names those it has.
        StoreError: lakeFS does not answer or refuses.
    """
    tables = await stored_tables(found, versions, prefix)
    if name not in tables:
        raise UnknownTableError(
            f"the snapshot {found.name} has no table {name!r}",
            cause=f"its tables are: {', '.join(tables)}" if tables else "it has no tables",
        )
    return tables[name]


def _info(said: Mapping[str, str], name: str, form: Literal["csv", "parquet"]) -> TableInfo:
    roles = roles_in_commit(said, name)
    image = roles.image or ImageColumn(name="")
    return TableInfo(
        name,
        key=roles.key,
        image_column=image.name or None,
        rows=rows_in_commit(said, name),
        form=form,
        image_prefix=image.prefix,
        image_pattern=image.pattern,
    )
