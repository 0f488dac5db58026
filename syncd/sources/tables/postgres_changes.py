"""Which rows of a PostgreSQL table may be new since an earlier snapshot; see ``ChangeAware``. Exact: no watermark.

Let H be ``pg_snapshot_xmin`` of the earlier snapshot: every transaction with a lower number had ended when it was
taken. A row version that is visible now and was written by a number below H was therefore committed then, and visible
unless it was deleted, which nothing undoes. So the rows here that come from below H are among those that were read, and
where there are as many as were read, they are the same. All others are told to be new. To that end

- Numbers of row versions have 32 bits, and stand for all that differ by a multiple of 2**32. A version may be new if
  one of them is from H on and below this snapshot's xmax; all distances are taken modulo 2**32, so it makes no
  difference where the counter passes zero. An old row may happen to have such a number and is then read again. Freezing
  (VACUUM, COPY FREEZE, REFRESH) sets a bit and leaves the number where it is, since PostgreSQL 9.4.
- A subtransaction's number is higher than that of the transaction it belongs to: below H both had ended. A prepared
  transaction counts as under way. A lock on a row, FOR UPDATE say, sets xmax, which plays no part here.
- Rows are counted by the table they are in: a partition with rows from below H, attached in place of another one, has
  none among those that were read. What is told of a transaction holds within one table's storage: oid and file node
  are compared, for TRUNCATE, CLUSTER and tools that exchange files.
- A column's value may change without any row: dropped, and added again with another default. So columns are compared
  by their numbers. Types are those whose text depends on nothing but the value; enumerations with their labels.
- The lock is taken before the snapshot, so what is altered under a stronger one is seen altered by both or by neither.
- History must be one line. It may not be after a crash (a commit that was not flushed is lost, and its number given
  again) or on another server: start of the server, start of its statistics, which a crash empties, and database are
  compared: they are the same through any pooler's connection.

Nothing is told of views, materialized views, foreign and unlogged tables, row security, types and access methods that
extensions bring, and generated columns that are not stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from syncd.sources.tables.base import Kind, Tally
from syncd.sources.tables.dialect_base import ROWS
from syncd.sources.tables.dialect_reading import Source, SqlReading

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from syncd.sources.tables.base import KeyRange, Row, TableReading
    from syncd.sources.tables.dialect_base import Selected
    from syncd.sources.tables.dialect_postgres import PostgresDialect

_NUMBERS = 1 << 32
_TYPES = {
    Kind.INTEGER: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.TEXT: "text",
    Kind.BYTES: "bytea",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp",
    Kind.TIMESTAMP_TZ: "timestamptz",
}
# Built-in types (below 10000) whose text depends on more than the value: names of catalog entries, money, access rights
_UNSTEADY = "24, 790, 1033, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191"
_HEAP = 2
_STATE = f"""
    WITH RECURSIVE family AS (
        SELECT to_regclass(%(table)s)::oid AS oid
        UNION SELECT inhrelid FROM family JOIN pg_inherits ON inhparent = family.oid),
    members AS (
        SELECT c.oid, relfilenode, relkind IN ('r', 'p') AND relpersistence = 'p' AND NOT relrowsecurity
            AND (relkind = 'p' OR relam = {_HEAP}) AS plain
        FROM family JOIN pg_class c USING (oid)),
    columns AS (
        SELECT attrelid, attnum, attname, atttypid, atttypmod, attgenerated
        FROM members JOIN pg_attribute ON attrelid = oid WHERE attnum > 0 AND NOT attisdropped),
    reachable AS (
        SELECT atttypid AS oid FROM columns
        UNION SELECT CASE typtype WHEN 'd' THEN typbasetype ELSE typelem END
        FROM reachable JOIN pg_type USING (oid) WHERE typtype = 'd' OR typelem <> 0),
    types AS (
        SELECT oid, typtype IN ('d', 'e') OR typoutput = 'pg_catalog.array_out'::regproc
            OR oid < 10000 AND typtype IN ('b', 'r', 'm') AND oid NOT IN ({_UNSTEADY}) AS steady
        FROM reachable JOIN pg_type USING (oid))
    SELECT (SELECT bool_and(plain) FROM members) AND (SELECT bool_and(steady) FROM types)
            AND (SELECT bool_and(attgenerated <> 'v') FROM columns)
            AND (SELECT stats_reset IS NOT NULL FROM pg_stat_bgwriter),
        jsonb_build_array(
            (SELECT jsonb_agg(members ORDER BY oid) FROM members),
            (SELECT jsonb_agg(columns ORDER BY attrelid, attnum) FROM columns),
            (SELECT jsonb_agg(jsonb_build_array(enumtypid, e.oid, enumlabel) ORDER BY enumtypid, e.oid)
             FROM pg_enum e JOIN types ON enumtypid = types.oid))::text,
        jsonb_build_array(pg_postmaster_start_time()::text, (SELECT stats_reset::text FROM pg_stat_bgwriter),
            (SELECT oid FROM pg_database WHERE datname = current_database()))::text,
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""  # noqa: S608 - numbers, from above


class _Mark(NamedTuple):
    """A snapshot, as later ones are compared with it."""

    shape: str  # what the table's values depend on besides its rows
    server: str  # whose history it is a moment of
    horizon: int  # pg_snapshot_xmin, 64 bits


class _Slice(Source):
    """Some rows of a table: read as a query, and named as the table."""

    __slots__ = ()

    def __str__(self) -> str:
        return ".".join(filter(None, (self.schema, self.table)))


class _SliceReading(SqlReading):
    """A reading of them; not the last of its transaction, so its cursor is closed."""

    def batches(self) -> Iterator[Sequence[Row]]:
        try:
            yield from super().batches()
        finally:
            if self.result is not None:
                self.result.close()


class PostgresChanges:
    """Implements ``ChangeAware`` in one transaction that has locked the table and then taken its snapshot.

    Args:
        dialect: Who asks.
        connection: SQLAlchemy's, in the transaction.
        source: A table.
        selected: Its columns.
        key_position: Where among them the key stands.
    """

    def __init__(
        self,
        dialect: PostgresDialect,
        connection: Any,
        source: Source,
        selected: Sequence[Selected],
        key_position: int,
    ) -> None:
        self._dialect, self._connection, self._source = dialect, connection, source
        self._selected, self._key_position = selected, key_position
        self._from = dialect.from_clause(source)
        key = selected[key_position]
        self._order, self._type = key.order, _TYPES[key.column.kind]
        self._in_bytes = key.order.startswith("convert_to(")  # in a database that is not in UTF-8
        if self._in_bytes:
            self._type = "bytea"
        elif key.column.kind == Kind.TEXT and key.order == dialect.cell(key.column.name):
            self._type = "uuid"  # the only one in an order of its own
        self._state: tuple[_Mark | None, int] | None = None  # of the snapshot, and its xmax

    def mark(self) -> Hashable | None:
        """See ``ChangeAware.mark``."""
        return self._now()[0]

    def tally(self, begins: Sequence[Any], since: Hashable | None) -> Sequence[Tally] | None:
        """See ``ChangeAware.tally``. One pass over the table on the server; what comes is a row for each part."""
        now, until = self._now()
        if now is None:
            return None
        may_be_new = "false"
        if since is not None:
            if not isinstance(since, _Mark) or since[:2] != now[:2] or until - since.horizon >= _NUMBERS:
                return None
            distance = f"({ROWS}.xmin::text::bigint - {since.horizon % _NUMBERS} + {_NUMBERS}) % {_NUMBERS}"
            may_be_new = f"bool_or({distance} < {until - since.horizon})"
        found = self._ask(
            f"SELECT {self._bucket(begins)}, {ROWS}.tableoid::bigint, count(*), {may_be_new}"  # noqa: S608 - quoted
            f" FROM {self._from} GROUP BY 1, 2"
        )
        rows: list[dict[int, int]] = [{} for _ in range(len(begins) + 1)]
        new = [False] * len(rows)
        for number, table, count, is_new in found:
            if number is None:
                return None  # of a key that is NULL; a read says which
            rows[number][table] = count
            new[number] = new[number] or is_new
        return [Tally(counted, is_new) for counted, is_new in zip(rows, new, strict=True)]

    def present(self, keys: Sequence[Any]) -> Sequence[bool]:
        """See ``ChangeAware.present``."""
        if not keys:
            return []
        found = self._ask(
            f"SELECT n FROM unnest({self._array(keys)}) WITH ORDINALITY AS keys (one, n)"  # noqa: S608 - quoted
            f" WHERE EXISTS (SELECT FROM {self._from} WHERE {self._order} = keys.one)"
        )
        there = {number for (number,) in found}
        return [number in there for number in range(1, len(keys) + 1)]

    def rows(self, ranges: Sequence[KeyRange]) -> TableReading:
        """See ``ChangeAware.rows``. Its outer bounds may find an index; the inner ones are looked up for each row."""
        first, last = ranges[0].begin, ranges[-1].end
        inside = ["true"]
        inside += [] if first is None else [f"{self._order} >= {self._literal(first)}"]
        inside += [] if last is None else [f"{self._order} < {self._literal(last)}"]
        if len(ranges) > 1:
            edges = [edge for one in ranges for edge in one if edge is not None]
            inside.append(f"{self._bucket(edges)} % 2 = {0 if first is None else 1}")
        query = f"SELECT * FROM {self._from} WHERE {' AND '.join(inside)}"  # noqa: S608 - quoted
        slice_ = _Slice(self._source.schema, self._source.table, query)
        return _SliceReading(self._dialect, self._connection, slice_, self._selected, self._key_position)

    def _now(self) -> tuple[_Mark | None, int]:
        if self._state is None:
            table = {"table": self._dialect.table(self._source)}
            ((plain, shape, server, horizon, until),) = self._ask(_STATE, table)
            self._state = _Mark(shape, server, horizon) if plain else None, until
        return self._state

    def _ask(self, statement: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        with self._dialect.translated():
            return self._dialect.ask(self._connection, statement, parameters)

    def _bucket(self, begins: Sequence[Any]) -> str:
        """Return how many of the keys a row's key is not below, in the order of the reading."""
        return f"width_bucket(CAST({self._order} AS {self._type}), {self._array(begins)})"

    def _array(self, keys: Sequence[Any]) -> str:
        return f"CAST(ARRAY[{', '.join(map(self._literal, keys))}] AS {self._type}[])"

    def _literal(self, key: Any) -> str:
        literal = self._dialect.literal(self._connection, key.encode() if self._in_bytes else key)
        return f"CAST({literal} AS {self._type})"
