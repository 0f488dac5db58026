"""Datasets for the tests of what lives in other programs, and the Pythons that have these programs."""

from __future__ import annotations

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
from tests.support.machine_needs import python_of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def environment() -> Callable[[str], Path]:
    """Make an environment with one of the extras, from uv.lock; returns its Python: ``environment("airflow")``."""
    return python_of
