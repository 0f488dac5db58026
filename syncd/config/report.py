"""The configuration in force, key by key, each value with its origin. Secrets show as ********."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from syncd.config import rules
from syncd.config.faults import MASK, key_text
from syncd.config.load import Loaded, leaves
from syncd.config.values import OFF, shown

if TYPE_CHECKING:
    from syncd.config.lines import Loc
    from syncd.config.settings import Settings

_SIZES = ("batch_bytes", "max_object_bytes", "cache_bytes")
_OFF_WHEN_NONE = ("quiet_seconds", "max_wait_seconds", "max_changes")


def text_lines(loaded: Loaded) -> list[str]:
    """Return the file's name, then one line for each key: ``source.root = "/srv/images"  # syncd.toml:2``."""
    rows = [(key_text(loc), shown(written(loc, value_at(loaded.settings, loc)))) for loc in leaves(loaded.settings)]
    width = min(max(len(f"{key} = {value}") for key, value in rows), 60)
    head = f"# {loaded.path}" if loaded.path else "# no configuration file: environment and defaults"
    return [head, *(f"{f'{key} = {value}':<{width}}  # {loaded.origins[key]}" for key, value in rows)]


def as_json(loaded: Loaded) -> dict[str, Any]:
    """Return the same for programs: ``{"file": …, "settings": {KEY: {"value": …, "origin": …}}}``."""
    rows = {}
    for loc in leaves(loaded.settings):
        key = key_text(loc)
        rows[key] = {"value": _plain(written(loc, value_at(loaded.settings, loc))), "origin": loaded.origins[key]}
    return {"file": str(loaded.path) if loaded.path else None, "settings": rows}


def value_at(settings: Settings, loc: Loc) -> Any:
    """Return one value by the way to it."""
    found: Any = settings
    for part in loc:
        found = found[part] if isinstance(part, int) else getattr(found, part)
    return found


def written(loc: Loc, value: Any) -> Any:
    """Return a value as a person would write it: "off" for a trigger that is off, "256MiB" for a size."""
    if loc[-1] in _OFF_WHEN_NONE and value is None:
        return OFF
    return rules.format_size(value) if loc[-1] in _SIZES else value


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
