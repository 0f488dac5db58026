"""``syncd table``: what it needs is asked for before it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import SYNCD


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ('csv = "labels.csv"', 2, "not one of PostgreSQL"),
        ('url = "postgresql://db/photos"\ntable = "labels"\nchannel = "c"', 1, 'pip install "syncd[postgres]"'),
    ],
)
def test_a_driver_that_is_not_installed_is_named(tmp_path: Path, source: str, code: int, said: str) -> None:
    """P8: psycopg is an extra; who has a CSV file needs none, and who has PostgreSQL is told which."""
    (tmp_path / "psycopg.py").write_text('raise ModuleNotFoundError("No module named psycopg", name="psycopg")\n')
    config = tmp_path / "syncd.toml"
    config.write_text(f'[source]\nroot = "images"\n[[tables]]\nname = "labels"\nkey = "id"\n{source}\n')
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, SYNCD, "table", "triggers", "labels", "--config", config],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
