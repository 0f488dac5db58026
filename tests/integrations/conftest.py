"""Datasets for the tests of what lives in other programs, and the Pythons that have these programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import (  # noqa: F401 - fixtures
    dataset,
    make_dataset,
    pytest_configure,
    reader,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = Path(__file__).parents[2] / "scripts" / "integration_env.sh"


@pytest.fixture(scope="session")
def environment() -> Callable[[str], Path]:
    """Make an environment with one of the extras, from uv.lock; returns its Python: ``environment("airflow")``."""

    def make(name: str) -> Path:
        done = subprocess.run([SCRIPT, name], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return Path(done.stdout.strip())
        said = f"the environment for {name} could not be made:\n{done.stderr}"
        return pytest.fail(said) if os.environ.get("CI") else pytest.skip(said)

    return make
