"""When it is watched, when it is only listed, and when watching is tried again."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import structlog

from syncd.sources.settings import FolderSettings
from syncd.sources.watching import LONGEST_PAUSE_SECONDS, Watching

FULL = "the limit of inotify watches is reached; raise it: sysctl …"
NFS = "/srv lies on nfs4, which reports no changes made by other machines"


def watching(**settings: Any) -> Watching:
    return Watching(dataclasses.replace(FolderSettings(root=Path("/srv"), include=["*"]), **settings))


def tries(state: Watching, *, until_s: float, step_s: float = 5.0) -> list[float]:
    """Let every listing fail to watch; return when one tried."""
    found, now_s = [], 0.0
    while now_s < until_s:
        state.begin_listing("", now_s)
        if state.new_watcher:
            found.append(now_s)
            state.failed(FULL, now_s)
        else:
            state.end_listing(watched=False, now_s=now_s)
        now_s += step_s
    return found


def test_it_is_tried_again_with_pauses_that_double_up_to_an_hour_and_said_once() -> None:
    with structlog.testing.capture_logs() as logged:
        moments = tries(watching(), until_s=5 * LONGEST_PAUSE_SECONDS)
    pauses = [later - former for former, later in itertools.pairwise(moments)]
    assert pauses[:7] == [60, 120, 240, 480, 960, 1920, 3600]
    assert set(pauses[7:]) == {3600}
    assert [line["event"] for line in logged] == ["watching_degraded"]


def test_the_reason_stands_until_a_whole_listing_was_watched() -> None:
    state = watching()
    state.begin_listing("", 0)
    assert state.new_watcher
    state.failed(FULL, 0)
    assert state.degraded == f"{FULL}; until then everything is listed every 5 s"
    state.begin_listing("", 59)
    assert not state.new_watcher
    state.end_listing(watched=False, now_s=59)
    state.begin_listing("", 60)
    assert state.new_watcher
    assert state.degraded
    with structlog.testing.capture_logs() as logged:
        state.end_listing(watched=True, now_s=61)
    assert state.degraded == ""
    assert [line["event"] for line in logged] == ["watching_again"]


def test_what_works_for_a_moment_only_does_not_shorten_the_pause() -> None:
    state = watching()
    for now_s, pause_s in ((0, 60), (60, 120), (180, 240)):
        state.begin_listing("", now_s)
        assert state.new_watcher
        state.new_watcher = False
        state.end_listing(watched=True, now_s=now_s)
        state.failed(FULL, now_s)
        assert state._retry_at == now_s + pause_s
    state.begin_listing("", 420)
    state.end_listing(watched=True, now_s=420)
    state.failed(FULL, 421 + LONGEST_PAUSE_SECONDS)
    assert state._retry_at == 421 + LONGEST_PAUSE_SECONDS + 60


def test_on_a_silent_file_system_it_lists_and_watches_as_soon_as_that_is_gone() -> None:
    state = watching()
    with structlog.testing.capture_logs() as logged:
        for now_s in range(0, 100, 5):
            state.begin_listing(NFS, now_s)
            assert not state.new_watcher
            state.end_listing(watched=False, now_s=now_s)
    assert state.degraded == f"{NFS}; everything is listed every 5 s"
    assert len(logged) == 1
    state.begin_listing("", 100)
    assert state.new_watcher


@pytest.mark.parametrize(("watch", "asks"), [("auto", True), ("inotify", False), ("polling", False)])
def test_only_auto_asks_what_the_folder_lies_on(watch: str, asks: bool) -> None:
    state = watching(watch=watch)
    assert state.asks_for_ground == asks
    assert state.new_watcher == (watch != "polling")


def test_who_wants_polling_is_never_degraded() -> None:
    state = watching(watch="polling")
    state.begin_listing("", 0)
    state.end_listing(watched=False, now_s=1)
    assert (state.degraded, state.new_watcher) == ("", False)
