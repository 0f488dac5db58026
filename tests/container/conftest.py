"""The image, really built; what that needs is skipped loudly where it is missing, and not under CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import pytest_configure, reader, versions  # noqa: F401 - fixtures
from tests.support.figures import figures, rng, seed  # noqa: F401 - fixtures
from tests.support.image import Image, can_mount

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def image() -> Image:
    missing = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]
    if not can_mount():
        missing.append("root's rights")
    if missing:
        why = f"missing: {', '.join(missing)}. Debian: apt-get install buildah debootstrap"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    made = subprocess.run([ROOT / "scripts/container_image.sh"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    root, description = made.stdout.split("\n")[:2]
    return Image(Path(root), Path(description))
