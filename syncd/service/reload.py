"""A changed configuration takes effect while the daemon runs: all that can, or nothing where the file is wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from syncd.config import load
from syncd.config.secrets import secrets_of
from syncd.errors import ConfigError
from syncd.service.engine import policies_of, schedule_of
from syncd.service.limits import deletion_limits, keep_rules
from syncd.sources.base import Limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from syncd.config import Settings
    from syncd.service.engine import Engine
    from syncd.service.systemd import Notifier

AT_ONCE = ("snapshot", "guard", "notify")  # sections
AT_ONCE_OF_UPLOAD = ("batch_objects", "batch_bytes")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reloading:
    """What became of the newest try.

    Args:
        settings: What the daemon runs by.
        path: The file; None: where ``load`` finds one.
        hide: Told of the secrets in it, which no line of the log may show.
    """

    settings: Settings
    path: Path | None
    hide: Callable[[Iterable[str]], None] = lambda _secrets: None
    fault: str = ""  # why the former configuration is kept
    at_next_start: tuple[str, ...] = ()  # keys that have changed and take effect then

    async def serve(self, engine: Engine, asked: asyncio.Event, notifier: Notifier) -> None:
        """Read the configuration again whenever that is asked for, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            notifier.reloading()
            try:
                await self._once(engine)
            finally:
                notifier.ready()

    async def _once(self, engine: Engine) -> None:
        try:
            found = (await asyncio.to_thread(load, self.path)).settings
        except (ConfigError, OSError) as error:  # of the disk: whatever it is, it goes on as it was
            self.fault = str(error)
            log.warning("configuration_kept", why=str(error))
            return
        self.hide(secrets_of(found))
        changed = changes(self.settings, found)
        self.fault, self.at_next_start = "", tuple(key for key in changed if not takes_effect_at_once(key))
        adopt(engine, self.settings, found)
        self.settings = self.settings.model_copy(update=_running(self.settings, found))
        now = [key for key in changed if takes_effect_at_once(key)]
        log.info("configuration_reloaded", changed=now, at_next_start=list(self.at_next_start))


def takes_effect_at_once(key: str) -> bool:
    """Tell whether a key, such as "snapshot.quiet_seconds", needs no new start."""
    section, _, name = key.partition(".")
    return section in AT_ONCE or (section == "upload" and name in AT_ONCE_OF_UPLOAD)


def changes(before: Settings, after: Settings) -> list[str]:
    """Return the keys that differ, without values: there are secrets among them."""
    found = []
    for section in type(before).model_fields:
        old, new = getattr(before, section), getattr(after, section)
        if section == "tables":
            found += ["tables"] if old != new else []
        else:
            names = type(old).model_fields
            found += [f"{section}.{name}" for name in names if getattr(old, name) != getattr(new, name)]
    return found


def adopt(engine: Engine, before: Settings, after: Settings) -> None:
    """Go by what can be changed while it runs."""
    engine.policies = policies_of(before.model_copy(update=_running(before, after)))
    asked, was = after.snapshot, before.snapshot
    if (asked.schedule, asked.timezone) != (was.schedule, was.timezone):
        engine.schedule = schedule_of(after, engine.clock())
    engine.retention.follow(keep_rules(after), remove_tags=asked.remove_tags)
    for source in engine.sources:
        if isinstance(source, Limited):
            source.limit(deletion_limits(after))
    engine.wake.set()


def _running(before: Settings, after: Settings) -> dict[str, object]:
    """Return the sections as they are in effect now."""
    of_upload = {name: getattr(after.upload, name) for name in AT_ONCE_OF_UPLOAD}
    sections = {section: getattr(after, section) for section in AT_ONCE}
    return {**sections, "upload": before.upload.model_copy(update=of_upload)}
