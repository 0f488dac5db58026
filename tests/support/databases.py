"""A real PostgreSQL and a real MariaDB, private to this test session: loopback only, gone when it ends, even by a kill.

Fixtures: ``postgres`` and ``mariadb`` for the session (do not stop them), ``own_postgres`` and ``own_mariadb`` for
outages. Import them where they are used. Make tables with names of your own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import psycopg
import pymysql
import pytest

from syncd.sources.tables.base import Column, Row, TableDatabase
from tests.support.machine_needs import lacking

USER, PASSWORD, DATABASE = "syncd_reader", "p@ss/w:rd %41", "dataset"
PASSWORD_IN_URL = "p%40ss%2Fw%3Ard%20%2541"
START_SECONDS = 60
INSTALL = "apt-get install -y --no-install-recommends postgresql mariadb-server"


class DatabaseServer(ABC):
    """One server with its data in a folder of its own; a context manager that makes, starts, stops and removes it."""

    account: ClassVar[str]  # that it runs as when the tests are root's: no database server runs as root
    stop_signals: ClassVar[tuple[signal.Signals, signal.Signals]]  # orderly, immediate

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"syncd-{self.account}-", dir="/tmp"))  # short: it holds a socket
        if os.getuid() == 0:
            shutil.chown(self.home, self.account, self.account)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
            self.prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop(immediate=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Start it on the same port and the same data, and wait until it answers."""
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_account("--pdeathsig", self.stop_signals[1].name[3:], *self.command()),
                stdout=log,
                stderr=log,
                cwd=self.home,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), START_SECONDS).close()
                self.execute("SELECT 1", admin=True)
            except (OSError, psycopg.OperationalError, pymysql.OperationalError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{self.account} did not start:\n{(self.home / 'server.log').read_text()}")
                time.sleep(0.05)
            else:
                return

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it, or with ``immediate`` cut it off as a crash does."""
        if self._process is not None:
            self._process.send_signal(self.stop_signals[immediate])
            self._process.wait(START_SECONDS)
            self._process = None

    def run(self, *command: str | Path) -> None:
        """Run a program of the server's to its end."""
        subprocess.run(self._as_account(*command), check=True, capture_output=True, cwd=self.home)

    def _as_account(self, *command: str | Path) -> list[str]:
        account = ["--reuid", self.account, "--regid", self.account, "--clear-groups"] if os.getuid() == 0 else []
        return ["setpriv", *account, *map(str, command)]

    @property
    @abstractmethod
    def url(self) -> str:
        """Of the database, for SQLAlchemy and ``open_database``, with a password that has everything in it."""

    @abstractmethod
    def make(self) -> None:
        """Lay out the data."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """What runs it in the foreground."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the user and the database of ``url``."""

    @abstractmethod
    def execute(self, *statements: str, admin: bool = False) -> list[tuple[Any, ...]]:
        """Run statements as the server's owner, each a transaction; returns the rows of the last one."""


class PostgresServer(DatabaseServer):
    account = "postgres"
    stop_signals = (signal.SIGINT, signal.SIGQUIT)

    def __init__(self, binaries: Path) -> None:
        super().__init__()
        self.binaries = binaries

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{self.port}/{DATABASE}"

    def make(self) -> None:
        options = ["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self.run(
            self.binaries / "initdb",
            *["-D", self.home / "data", *options, "--auth-local=trust", "--auth-host=scram-sha-256"],
        )

    def command(self) -> list[str | Path]:
        settings = {"fsync": "off", "unix_socket_directories": self.home, "listen_addresses": "127.0.0.1"}
        settings |= {"max_connections": 30, "max_prepared_transactions": 4, "log_min_messages": "fatal"}
        chosen = [f"--{name}={value}" for name, value in settings.items()]
        return [self.binaries / "postgres", "-D", self.home / "data", "-p", str(self.port), *chosen]

    def prepare(self) -> None:
        self.execute(f"CREATE ROLE {USER} LOGIN SUPERUSER PASSWORD '{PASSWORD}'", admin=True)
        self.execute(f"CREATE DATABASE {DATABASE} OWNER {USER}", admin=True)

    def execute(self, *statements: str, admin: bool = False) -> list[tuple[Any, ...]]:
        with self.connect(admin=admin) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def connect(self, *, admin: bool = False) -> psycopg.Connection[Any]:
        """Connect as the owner, in autocommit."""
        database = "postgres" if admin else DATABASE
        return psycopg.connect(host=str(self.home), port=self.port, user="postgres", dbname=database, autocommit=True)


class MariadbServer(DatabaseServer):
    account = "mysql"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, server: str, installer: str) -> None:
        super().__init__()
        self.server, self.installer = server, installer

    @property
    def url(self) -> str:
        return f"mysql://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{self.port}/{DATABASE}"

    def make(self) -> None:
        self.run(
            self.installer,
            *["--no-defaults", f"--datadir={self.home / 'data'}", "--skip-test-db", "--skip-name-resolve"],
            "--auth-root-authentication-method=normal",
        )

    def command(self) -> list[str | Path]:
        return [
            *[self.server, "--no-defaults", f"--datadir={self.home / 'data'}", f"--socket={self._socket}"],
            *[f"--port={self.port}", "--skip-networking=0", "--bind-address=127.0.0.1", "--skip-name-resolve"],
            *["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M", f"--pid-file={self.home / 'pid'}"],
        ]

    def prepare(self) -> None:
        self.execute(
            f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4",
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION",
            admin=True,
        )

    def execute(self, *statements: str, admin: bool = False) -> list[tuple[Any, ...]]:
        with contextlib.closing(self.connect(admin=admin)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def connect(self, *, admin: bool = False) -> pymysql.Connection[Any]:
        """Connect as root, in autocommit."""
        return pymysql.connect(
            unix_socket=str(self._socket),
            user="root",
            database=None if admin else DATABASE,
            charset="utf8mb4",
            autocommit=True,
        )

    @property
    def _socket(self) -> Path:
        return self.home / "socket"


def read_all(database: TableDatabase) -> tuple[list[Column], list[Row]]:
    """Return the columns and all rows."""
    with database.read() as reading:
        return list(reading.columns), [row for batch in reading.batches() for row in batch]


def eventually(look: Callable[[], object], expected: object) -> bool:
    """Look again until it is as expected: a server follows, or notices a closed connection, a moment later."""
    deadline = time.monotonic() + START_SECONDS
    while look() != expected:
        if time.monotonic() > deadline:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _missing(what: str) -> NoReturn:
    lacking(f"{what} is not installed, and these tests run a real one: {INSTALL}")


def postgres_binaries() -> Path | None:
    """Return where PostgreSQL's programs are: Debian's newest, else those on PATH; None if there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("postgres")
    binaries = found[-1].parent if found else Path(on_path).parent if on_path else None
    return binaries if binaries is not None and (binaries / "initdb").exists() else None


@contextlib.contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL, or skip; under CI, fail."""
    binaries = postgres_binaries()
    if binaries is None:
        _missing("PostgreSQL")
    with PostgresServer(binaries) as server:
        yield server


@contextlib.contextmanager
def run_mariadb() -> Iterator[MariadbServer]:
    """Run a MariaDB, or skip; under CI, fail."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    server, installer = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if server is None or installer is None:
        _missing("MariaDB")
    with MariadbServer(server, installer) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    with run_mariadb() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        yield server


@pytest.fixture
def own_mariadb() -> Iterator[MariadbServer]:
    with run_mariadb() as server:
        yield server
