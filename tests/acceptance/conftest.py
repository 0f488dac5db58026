"""A dataset for each test, on the shared server or the test's own, and a random generator that prints its seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lakefs
import pytest
from lakefs.client import Client

from tests.support.comparing import Reader
from tests.support.daemon import DATASETS, Dataset, server_section
from tests.support.figures import figures, rng, seed, times  # noqa: F401 - fixtures
from tests.support.labels import CsvLabels, Labels, SqliteLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from syncd.embedded.process import ServerProcess


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than half a minute")


@pytest.fixture(params=[CsvLabels, SqliteLabels], ids=["csv", "sqlite"])
def labels(request: pytest.FixtureRequest, tmp_path: Path) -> Labels:
    return request.param(tmp_path)


@pytest.fixture
def csv_labels(tmp_path: Path) -> CsvLabels:
    return CsvLabels(tmp_path)


@pytest.fixture
def make_dataset(
    lakefs_server: ServerProcess, repository_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Dataset]]:
    """Make a dataset: ``make_dataset(server=…, name=…, **keys of [lakefs])``; daemons end with the test."""
    made = request.node.stash[DATASETS] = list[Dataset]()

    def make(server: ServerProcess | None = None, name: str = "data", **lakefs: object) -> Dataset:
        section = server_section(server or lakefs_server, tmp_path, repository_name, **lakefs)
        made.append(Dataset(tmp_path / name, section))
        return made[-1]

    yield make
    for dataset in made:
        dataset.close()


@pytest.fixture
def dataset(make_dataset: Callable[..., Dataset]) -> Dataset:
    """An empty folder and a configuration that sends it to the shared server."""
    return make_dataset()


@pytest.fixture
def reader(s3: S3Client, repository_name: str) -> Reader:
    """Reads the test's repository on the shared server."""
    return Reader(s3, repository_name)


@pytest.fixture
def versions(lakefs_server: ServerProcess, repository_name: str) -> lakefs.Repository:
    """The dataset's repository through lakeFS's own client: what syncd's code takes no part in."""
    client = Client(
        host=lakefs_server.endpoint,
        username=lakefs_server.access_key_id,
        password=lakefs_server.secret_access_key,
    )
    return lakefs.Repository(repository_name, client=client)
