"""The staging branch and the history of snapshots, for tests that put the parts together by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from syncd.journal import Journal
from syncd.ownership.recovery import Recovery
from syncd.ownership.staging_branch import StagingBranch
from syncd.planner.tag_name import render_tag
from syncd.store.base import VersionStore


def staging_branch(journal: Journal, versions: VersionStore, clock: Callable[[], datetime]) -> StagingBranch:
    return StagingBranch(
        journal=journal,
        versions=versions,
        repository="photos",
        staging="staging",
        publish="main",
        prefix="",
        clock=clock,
    )


def recovery(journal: Journal, versions: VersionStore, tag: str = "found-{seq}") -> Recovery:
    return Recovery(
        journal=journal,
        versions=versions,
        staging="staging",
        publish="main",
        name_tag=lambda time, seq: render_tag(tag, time=time, seq=seq),
        syncd_version="0",
    )
