"""Whether a folder is watched or only listed, why, and when to try again. Moments are seconds of a monotonic clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from syncd.sources.settings import FolderSettings

LONGEST_PAUSE_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class Watching:
    """The state of watching one root; it changes at the beginning and at the end of full listings.

    Args:
        settings: What is wanted, and how often it is listed and tried without events.
    """

    def __init__(self, settings: FolderSettings) -> None:
        self._settings = settings
        self.new_watcher = settings.watch != "polling"  # one is to be started before the listing goes on
        self.degraded = ""  # why everything is listed although events were asked for; "" when it is not
        self._pause_s, self._retry_at, self._works_since = settings.retry_watch_seconds, 0.0, 0.0

    @property
    def asks_for_ground(self) -> bool:
        """Return whether it matters what the folder lies on: who sets "inotify" knows better, and gets it."""
        return self._settings.watch == "auto"

    def begin_listing(self, obstacle: str, now_s: float) -> None:
        """Decide whether this listing places watches.

        Args:
            obstacle: Why events would not tell of every change, in words; "" if they would.
            now_s: Now.
        """
        if obstacle:
            self.new_watcher, self._retry_at = False, now_s
            self._degrade(f"{obstacle}; everything is listed every {self._settings.poll_seconds:g} s", obstacle)
        elif self.degraded and now_s >= self._retry_at:
            self.new_watcher = True

    def failed(self, why: str, now_s: float) -> None:
        """Note that a directory could not be watched. It is tried again, with pauses that double.

        Each try takes watches, until there are no more, from the other programs of this user; hence not more often.
        """
        if self._works_since and now_s - self._works_since > LONGEST_PAUSE_SECONDS:
            self._pause_s = self._settings.retry_watch_seconds
        self.new_watcher, self._works_since = False, 0.0
        self._retry_at = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, max(LONGEST_PAUSE_SECONDS, self._settings.retry_watch_seconds))
        self._degrade(f"{why}; until then everything is listed every {self._settings.poll_seconds:g} s", why)

    def end_listing(self, *, watched: bool, now_s: float) -> None:
        """Note that a full listing has ended, and whether it has placed a watch on each directory."""
        if watched and self.degraded:
            log.info("watching_again", source="images")
            self.degraded, self._works_since = "", now_s

    def _degrade(self, shown: str, why: str) -> None:
        if self.degraded != shown:  # else it was tried again, and nothing is new
            log.warning("watching_degraded", source="images", why=why)
        self.degraded = shown
