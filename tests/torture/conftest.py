"""Everything at once, many times over: datasets on a real server, what is tried how often, and figures of it."""

from __future__ import annotations

from tests.acceptance.conftest import (  # noqa: F401 - fixtures
    dataset,
    make_dataset,
    pytest_configure,
    reader,
    versions,
)
from tests.support.figures import figures, rng, seed, times  # noqa: F401 - fixtures
