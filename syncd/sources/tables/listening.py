"""Being told by PostgreSQL that a table was written to: a hint, never a fact.

A notification is lost while nobody listens, so whoever is told reads the table again, and polls besides. Behind
PgBouncer in transaction mode LISTEN does not work at all: there only polling finds changes.
"""

from __future__ import annotations

import hashlib
import random
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql

from syncd.sources.tables.base import TableFaultError
from syncd.sources.tables.database import dialect_for
from syncd.sources.tables.dialect_postgres import PostgresDialect
from syncd.sources.tables.dialect_reading import Source

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
_LOCK_SECONDS = 5
_MOST_NAME_BYTES = 63  # NAMEDATALEN - 1; LISTEN cuts a longer name without a word


class Listener:
    """Calls back whenever a channel is notified, from a thread of its own; a context manager.

    Args:
        url: ``postgresql://``, as for ``open_database``.
        channel: Its exact name.
        on_hint: Called in the listener's thread; also each time a connection is made, since what was sent before is
            lost. It must be quick and must not raise.

    Raises:
        TableFaultError: The URL or the channel's name cannot be used.
    """

    def __init__(self, url: str, channel: str, on_hint: Callable[[], None]) -> None:
        self._dialect, self._channel, self._on_hint = _dialect(url), _checked(channel), on_hint
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._connected, self._trouble = threading.Event(), "it was not started"

    @property
    def connected(self) -> bool:
        """Return whether notifications arrive."""
        return self._connected.is_set()

    @property
    def trouble(self) -> str:
        """Return why none arrive, or "" while they do."""
        return "" if self.connected else self._trouble

    def start(self) -> None:
        """Begin to listen, once."""
        self._trouble = "it is connecting"
        self._thread = threading.Thread(target=self._run, name=f"listen {self._channel}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End listening and wait for the thread: at once, or while it connects, after five seconds at most."""
        self._stopping.set()
        self._wake.send(b"\0")
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._wake.close()
        self._woken.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                with psycopg.connect(**self._dialect.connect_arguments(), autocommit=True) as connection:
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    pause_s = _FIRST_PAUSE_SECONDS
                    self._connected.set()
                    self._on_hint()
                    self._listen(connection)
            except (psycopg.Error, OSError) as error:
                self._trouble = str(self._dialect.explain(error))
            finally:
                self._connected.clear()
            # drawn, so that many daemons do not come back at the same instant
            self._stopping.wait(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_SECONDS)
        self._trouble = "it was stopped"

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        """Wait for notifications until the connection is lost or ``stop`` is called."""
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                if any(True for _ in connection.notifies(timeout=0)):
                    self._on_hint()


def trigger_sql(table: str, channel: str) -> str:
    """Return SQL that makes every statement that writes to a table notify a channel; it may be run again.

    PostgreSQL 14 or newer. Writing to a partition directly does not notify, and a transaction that notified cannot be
    prepared (PREPARE TRANSACTION): where writers do that, poll instead.

    Raises:
        TableFaultError: The channel's name cannot be used.
    """
    source = Source.of(table, None)
    parts = list(filter(None, (source.schema, source.table)))
    trigger = f"syncd_{hashlib.sha256(channel.encode()).hexdigest()[:12]}"  # one for each channel
    statements = sql.SQL(
        "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS"
        " $syncd$ BEGIN PERFORM pg_notify(TG_ARGV[0], ''); RETURN NULL; END $syncd$;\n"
        "CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION {function}({channel});"
    )
    return statements.format(
        function=sql.Identifier(*parts[:-1], "syncd_notify"),
        trigger=sql.Identifier(trigger),
        table=sql.Identifier(*parts),
        channel=sql.Literal(_checked(channel)),
    ).as_string(None)


def apply_trigger_sql(url: str, table: str, channel: str) -> None:
    """Run ``trigger_sql`` in one transaction.

    Raises:
        TableUnavailableError: The database does not answer, or the table stays locked.
        TableFaultError: The table is missing, or the user may not do this.
    """
    dialect = _dialect(url)
    with dialect.translated(), psycopg.connect(**dialect.connect_arguments()) as connection:
        connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        connection.execute(trigger_sql(table, channel).encode())


def _dialect(url: str) -> PostgresDialect:
    dialect = dialect_for(url, 0)
    if not isinstance(dialect, PostgresDialect):
        raise TableFaultError(
            "Only PostgreSQL notifies of changes", next_step="leave notifications out of the settings"
        )
    return dialect


def _checked(channel: str) -> str:
    if not 0 < len(channel.encode()) <= _MOST_NAME_BYTES or "\0" in channel:
        raise TableFaultError(
            f"A channel's name has 1 to {_MOST_NAME_BYTES} bytes, and not {len(channel.encode())}",
            next_step="choose another name",
        )
    return channel
