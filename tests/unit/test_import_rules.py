"""The rooms of syncd and the doors between them: who may import whom, read from the source.

The tables are the rule. A new room or library fails here until it has a line, which is the moment to think about
where it belongs.
"""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

# Rooms, from the inside out. A room may always import itself and the version in syncd/__init__.py.
_WORDS = ["model", "errors", "keys", "names", "presence", "tallies", "threads", "words"]
_OUTSIDE = [*_WORDS, "planner", "fingerprint", "sources", "journal", "store"]
_WORK = [
    *["bodies", "batch_run", "uploader", "commit_text", "committer", "gate", "ownership", "retention", "status"],
    "snapshots",
]
MAY_IMPORT = {
    "model": [],
    "errors": [],
    "local_socket": [],
    "addresses": [],
    "keys": ["model"],
    "names": ["model"],
    "presence": [],
    "tallies": [],
    "threads": [],
    "words": [],
    "planner": ["model", "names"],
    "fingerprint": ["model", "errors"],
    # the three sides of the outside world know nothing of each other
    "sources": [*_WORDS, "fingerprint"],
    "journal": [*_WORDS, "fingerprint"],
    "store": [*_WORDS, "fingerprint"],
    # nor do those who work with them; they get what they need handed in
    "bodies": _OUTSIDE,
    "batch_run": _OUTSIDE,
    "uploader": [*_OUTSIDE, "bodies", "batch_run"],
    "commit_text": _OUTSIDE,
    "ownership": [*_OUTSIDE, "commit_text"],
    "committer": [*_OUTSIDE, "commit_text", "ownership"],
    "gate": _OUTSIDE,
    "retention": _OUTSIDE,
    "status": _OUTSIDE,
    "snapshots": _OUTSIDE,
    # two rooms to the side: the settings' own checks, and the server for people who have none
    "config": ["addresses", "errors", "names", "planner.tag_name", "presence"],
    "embedded": ["addresses", "errors", "presence", "threads"],
    # those who put it all together; only here settings are read
    "window": ["tallies", "store.base", "store.pins"],
    "thumbnails": ["errors"],
    "notify": ["threads"],  # it is handed looks at the dataset, and whom to tell
    "service": [*_OUTSIDE, *_WORK, "config", "addresses", "embedded", "local_socket", "notify", "window"],
    "web": [*_OUTSIDE, *_WORK, "local_socket", "thumbnails", "window"],
    "client": [*_OUTSIDE, *_WORK, "config", "service"],
    "datasets": ["client", "errors", "model", "snapshots", "store.base"],  # the last for the shape of an object
    # parts for other programs, which nothing of syncd imports
    "integrations": ["client", "datasets", "errors", "snapshots"],
    "__main__": ["cli"],
    "__init__": ["client", "errors"],  # the library's names, imported when they are used
    "demo": [*_WORDS, "config", "embedded", "service"],
    "doctor": [*_OUTSIDE, "config", "embedded", "service", "status"],
    "setup": [*_OUTSIDE, "config", "doctor", "embedded"],
    "cli": [
        *[*_OUTSIDE, *_WORK, "config", "doctor", "embedded", "service", "setup", "thumbnails", "web"],
        *["addresses", "client", "demo"],
    ],
}

# Each library has one home, so that another one can take its place. "*" also stands for folders.
HOMES = {
    "airflow": ["integrations/airflow/*.py"],
    "aiobotocore": ["store/s3_*.py"],
    "aiohappyeyeballs": ["store/http_exchange.py"],
    "aiohttp": ["store/s3_*.py", "store/lakefs_stream.py", "web/*.py", "notify/http.py"],
    "botocore": ["store/s3_*.py", "demo/*.py"],
    "boto3": ["demo/*.py"],  # the demo reads back with a client that is not syncd's own
    "cronsim": ["config/*.py", "service/schedule.py"],
    "httptools": ["store/http_connection.py"],
    "jinja2": ["web/render.py"],
    "markupsafe": ["web/to_file.py"],
    "lakefs": ["store/lakefs_*.py"],
    "lakefs_sdk": ["store/lakefs_*.py"],
    "urllib3": ["store/lakefs_*.py"],
    "numpy": ["demo/*.py"],
    "pathspec": ["sources/ignore.py"],
    "PIL": ["datasets/decoding.py", "demo/*.py", "thumbnails/*child.py"],
    "platformdirs": ["config/*.py", "embedded/*.py", "cli/*.py"],
    "psycopg": ["sources/tables/dialect_postgres*.py", "sources/tables/listening.py"],
    # the client names the type of the tables it gives
    "pyarrow": [
        "sources/tables/parquet.py",
        "snapshots/arrow.py",
        "snapshots/table*.py",
        "snapshots/image_rows.py",
        "client/*.py",
        "datasets/*.py",
        "demo/witness.py",
        "web/label_table.py",
    ],
    "prometheus_client": ["web/exposition.py"],
    "prefect": ["integrations/prefect/*.py"],
    # the second to import the SDK faster; a block of Prefect's is one of its models
    "pydantic": ["config/*.py", "store/lakefs_sdk.py", "integrations/prefect/block.py"],
    "pydantic_core": ["config/*.py"],
    "pydantic_settings": ["config/*.py"],
    "pymysql": ["sources/tables/dialect_mysql*.py"],
    "rich": ["cli/*.py", "demo/story.py"],
    "sklearn": ["demo/*.py"],
    "sqlalchemy": ["sources/tables/dialect_*.py"],
    # status and reports name the type of the connection they are lent
    "sqlite3": [
        "journal/*.py",
        "status.py",
        "gate.py",
        "retention/checking.py",
        "doctor/host.py",
        "doctor/system_facts.py",
        "service/*_report.py",
        "sources/tables/*.py",
        "snapshots/*.py",  # what may not fit into memory
        "thumbnails/kept.py",
        "demo/*.py",
    ],
    "structlog": [
        "service/*.py",
        "sources/*.py",
        "journal/*.py",
        "store/*.py",
        "notify/*.py",
        "ownership/*.py",
        "retention/*.py",
        "snapshots/in_use.py",
        "web/application.py",
        *(f"{room}.py" for room in _WORK),
    ],
    "torch": ["integrations/torch.py"],
    "typer": ["cli/*.py"],
    "watchdog": ["sources/watcher*.py"],
    "yaml": ["config/credentials.py"],
    "yarl": ["store/lakefs_stream.py"],
}

# What would let a clock, a file, a task or a log into a decision.
NOT_IN_PLANNER = {
    *["asyncio", "concurrent", "contextvars", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets"],
    *["shutil", "socket", "subprocess", "tempfile", "threading", "time", "uuid"],
}
CLOCKS = {"now", "utcnow", "today"}  # of datetime and date

MAX_LINES = 300  # above it, look for the second noun
LONGER: dict[str, str] = {}  # path below syncd/: why it is as long as it is


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports, wherever in it, as full dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def faults(path: str, source: str) -> list[str]:
    """Return what a file at ``path`` below syncd/ imports and should not."""
    room = path.partition("/")[0].removesuffix(".py")
    found = []
    for name in sorted(set(imports(ast.parse(source)))):
        top, _, rest = name.partition(".")
        if top == "syncd":
            if not _may_enter(room, rest):
                found.append(f"{path}: {room} may not import {name}")
        elif top == "":
            found.append(f"{path}: write {name} as an absolute import")
        elif top in HOMES:
            if not any(fnmatch(path, home) for home in HOMES[top]):
                found.append(f"{path}: {top} lives in {', '.join(HOMES[top])}")
        elif top not in sys.stdlib_module_names:
            found.append(f"{path}: {top} has no home in HOMES yet")
        elif room == "planner" and top in NOT_IN_PLANNER:
            found.append(f"{path}: the planner is pure, so no {top}")
    return found


def _may_enter(room: str, target: str) -> bool:
    doors = [*MAY_IMPORT.get(room, []), room, "__version__"]
    return any(target == door or target.startswith(f"{door}.") for door in doors)


def _files() -> list[tuple[str, str]]:
    folder = ROOT / "syncd"
    return [(path.relative_to(folder).as_posix(), path.read_text("utf-8")) for path in sorted(folder.rglob("*.py"))]


def test_imports_point_one_way_and_each_library_has_one_home() -> None:
    found = [fault for path, source in _files() for fault in faults(path, source)]
    assert not found, "\n".join(["", *found])


def test_every_room_has_a_line_in_the_table() -> None:
    rooms = {path.partition("/")[0].removesuffix(".py") for path, _ in _files()}
    assert rooms <= set(MAY_IMPORT)


def test_the_planner_reads_no_clock_and_never_waits() -> None:
    planner = [(path, ast.parse(source)) for path, source in _files() if path.startswith("planner/")]
    assert [
        f"{path}: {ast.unparse(node)}" for path, tree in planner for node in ast.walk(tree) if _is_impure(node)
    ] == []


def _is_impure(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in CLOCKS
    return isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await)


def test_files_are_short() -> None:
    lengths = {path: len(source.splitlines()) for path, source in _files()}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES and path not in LONGER} == {}
    assert [path for path in LONGER if lengths.get(path, 0) <= MAX_LINES] == [], "no longer an exception"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("model.py", "from syncd.errors import SyncdError"),
        ("errors.py", "import structlog"),
        ("planner/decide.py", "from syncd import journal"),
        ("planner/decide.py", "import time"),
        ("journal/rows.py", "import syncd.store.base"),
        ("sources/tree.py", "import sqlite3"),
        ("uploader.py", "from syncd.committer import Committer"),
        ("uploader.py", "from syncd.config import Settings"),
        ("config/rules.py", "from syncd.planner.decide import decide"),
        ("service/run.py", "def late():\n    from syncd.cli import app"),
        ("store/base.py", "if TYPE_CHECKING:\n    from syncd.sources.base import Source"),
        ("store/base.py", "from . import translate"),
        ("store/base.py", "import requests"),
        ("client/sync.py", "from syncd.integrations.airflow import SyncdSnapshotOperator"),
        ("client/sync.py", "import airflow.sdk"),
        ("client/sync.py", "from syncd.datasets import SnapshotDataset"),
        ("datasets/dataset.py", "from syncd.service import control"),
        ("datasets/dataset.py", "import torch"),
        ("integrations/airflow/operators.py", "import prefect"),
        ("attic.py", "from syncd.model import Snapshot"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    assert len(faults(path, source)) == 1
