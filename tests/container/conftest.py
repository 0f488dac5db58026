"""The image, really built; what that needs is skipped loudly where it is missing, and not under CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import pytest_configure, reader, versions  # noqa: F401 - fixtures
from tests.support.figures import figures, rng, seed  # noqa: F401 - fixtures
from tests.support.image import Image
from tests.support.machine_needs import made_by, need


@pytest.fixture(scope="session")
def image() -> Image:
    need(["buildah", "debootstrap"], packages="buildah debootstrap", root=True)
    root, description = made_by("scripts/container_image.sh")[:2]
    return Image(Path(root), Path(description))
