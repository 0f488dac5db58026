"""Datasets whose daemon ends in the middle, on the shared server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from syncd.embedded.process import ServerProcess
from tests.acceptance.conftest import (  # noqa: F401 - fixtures
    dataset,
    make_dataset,
    pytest_configure,
    reader,
    versions,
)
from tests.crashes.scenario import Scenario
from tests.support.figures import figures, rng, seed  # noqa: F401 - fixtures


@pytest.fixture
def begin(
    lakefs_server: ServerProcess, s3: S3Client, repository_name: str, tmp_path: Path
) -> Iterator[Callable[[str], Scenario]]:
    """Begin the scenario on a dataset and a repository of its own: ``begin(name)``. Daemons end with the test."""
    begun: list[Scenario] = []

    def make(name: str) -> Scenario:
        begun.append(Scenario(tmp_path / name, lakefs_server, s3, f"{repository_name[-30:].strip('-')}-{name}"))
        return begun[-1]

    yield make
    for scenario in begun:
        scenario.dataset.close()
