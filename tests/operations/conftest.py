"""The running service, measured: a slice of each in CI, all of it by ``make figures``."""

from __future__ import annotations

from tests.acceptance.conftest import dataset, make_dataset, pytest_configure, reader  # noqa: F401 - fixtures
from tests.support.figures import figures, rng, seed, times  # noqa: F401 - fixtures
