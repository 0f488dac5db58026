"""The programs in ``examples/`` as a user runs them: another process, an empty home, a folder that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.machine_needs import python_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.embedded.process import ServerProcess

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
READERS = ("duckdb", "lakefs_spec", "pandas", "polars", "s3fs")  # what the reading examples import


@cache
def python_with_readers() -> Path:
    """Return a Python that has what the reading examples import: this one, or that of an environment of their own."""
    if all(find_spec(name) for name in READERS):
        return Path(sys.executable)
    return python_of("examples")


def environment_for(server: ServerProcess, home: Path) -> dict[str, str]:
    """Return an environment in which every lakeFS client finds the server, and nothing of the person's own."""
    home.mkdir(exist_ok=True)
    foreign = ("SYNCD_", "LAKECTL_", "AWS_", "XDG_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "HOME": str(home),
        "LAKECTL_SERVER_ENDPOINT_URL": server.endpoint,
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": server.access_key_id,
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": server.secret_access_key,
    }


def run_example(
    name: str, *arguments: str, folder: Path, environment: Mapping[str, str], python: Path = Path(sys.executable)
) -> str:
    """Run an example to its end, and return what it prints; it must end well, and complain of nothing."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(python), str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout
