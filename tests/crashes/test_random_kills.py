"""SIGKILL at any moment, again and again, while the folder and the tables change all the time."""

from __future__ import annotations

import os
import random

import lakefs
import pytest

from tests.crashes.kills import killed_again_and_again
from tests.support.comparing import Reader
from tests.support.daemon import Dataset
from tests.support.figures import Figures

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.slow]

DEFAULT_KILLS = "15"  # SYNCD_CRASH_KILLS


def test_killed_at_any_moment(
    dataset: Dataset, reader: Reader, versions: lakefs.Repository, rng: random.Random, figures: Figures
) -> None:
    """P1, P2, P4, P6: nothing is lost, doubled or torn, and no tag moves; the last life is an ordinary one."""
    kills = int(os.environ.get("SYNCD_CRASH_KILLS") or DEFAULT_KILLS)
    course = killed_again_and_again(dataset, reader, versions, rng, kills)
    figures("kill -9 at any moment", kills, snapshots=course.snapshots, lost=0, torn=0, twice=0, moved_tags=0)
