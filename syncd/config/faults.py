"""What is wrong with a configuration: where, which key, which rule, the value, and the key that was probably meant.

A secret never gets as far as a fault: values of secret keys, and of unknown keys that look like one, are masked.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from syncd.config.settings import Settings, section_fields
from syncd.config.values import printable, shown
from syncd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from syncd.config.lines import Loc

MASK = "********"
MAX_SHOWN = 100  # characters of a value; more helps nobody

_SECRET_KEYS = re.compile("secret|passw|token|credential|(^|_)url$", re.IGNORECASE)
_SECRET_LOOKING = re.compile("key|pass|pwd|auth|secret|token|cred|url", re.IGNORECASE)
_USERINFO = re.compile(r"://\S*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFault:
    """One thing to correct."""

    file: str  # its path, or "environment" (with the variable, where the key names none)
    line: int | None  # counted from 1; None where there is no line to point at
    key: str  # "source.settle_seconds", "tables[0].csv", a variable's name, or "" for the whole file
    rule: str  # what must hold, in words
    value: str | None = None  # as TOML, masked where secret; None where showing it helps nothing
    suggestion: str | None = None  # the valid key nearest to an unknown one

    def __str__(self) -> str:
        """Return one line: FILE:LINE: KEY: rule (is VALUE); did you mean KEY?"""
        place = f"{self.file}:{self.line}" if self.line else self.file
        said = ": ".join(part for part in (place, self.key, self.rule) if part)
        if self.value is not None:
            said += f" (is {self.value})"
        return printable(f"{said}; did you mean {self.suggestion}?" if self.suggestion else said)

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name, for ``--json``."""
        return asdict(self)


class FaultyConfigError(ConfigError):
    """The configuration cannot be used; ``faults`` holds every reason found, in the file's order.

    Args:
        faults: At least one.
        path: The configuration file, or None where there is none.
    """

    def __init__(self, faults: Iterable[ConfigFault], *, path: Path | None) -> None:
        self.faults = sorted(
            faults, key=lambda fault: (fault.file.startswith("environment"), fault.file, fault.line or 0)
        )
        self.path = path
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        check = "syncd config check" + (f" --config {shlex.quote(str(path))}" if path else "")
        lines = [f"The configuration cannot be used: {count}", *(f"  {fault}" for fault in self.faults)]
        super().__init__("\n".join(lines), next_step=f"correct it, then: {check}")


def key_text(loc: Sequence[str | int]) -> str:
    """Return a key as people write it: ``tables[0].csv``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def is_secret(key: str) -> bool:
    """Whether a known key's value must not be shown."""
    return bool(_SECRET_KEYS.search(key)) and not key.endswith("_file")


def value_text(key: str, value: object, *, known: bool = True) -> str | None:
    """Return a value as TOML, short and without secrets; None for what is not worth showing.

    Args:
        key: The key's own name, without its section.
        value: What was found there, of any type.
        known: False for a key that does not exist: it is masked whenever it could be a misspelt secret.
    """
    if value is None:
        return None
    if is_secret(key) or isinstance(value, SecretStr) or (not known and _SECRET_LOOKING.search(key)):
        return MASK
    if key == "access_key_id":  # a refused one may well be the secret, pasted in the wrong place
        return None
    if isinstance(value, dict) or (
        isinstance(value, (list, tuple)) and any(isinstance(p, (dict, list)) for p in value)
    ):
        return None
    return clipped(shown(value))


def clipped(text: str) -> str:
    """Return a text for a message: credentials in addresses masked, cut to a readable length."""
    masked = _USERINFO.sub(f"://{MASK}@", text)
    return masked if len(masked) <= MAX_SHOWN else f"{masked[:MAX_SHOWN]}…"


def nearest_key(loc: Loc) -> str | None:
    """Return the valid key nearest to an unknown one: in its section first, else in any."""
    sections = list(Settings.model_fields)
    if len(loc) == 1:
        close = get_close_matches(str(loc[0]), sections, n=1)
        return close[0] if close else _elsewhere(str(loc[0]), cutoff=0.8)
    section, name = str(loc[0]), str(loc[-1])
    if section not in sections:
        return None
    close = get_close_matches(name, list(section_fields(section)), n=1)
    return key_text((*loc[:-1], close[0])) if close else _elsewhere(name, cutoff=0.8)


def _elsewhere(name: str, *, cutoff: float) -> str | None:
    homes = {key: section for section in reversed(Settings.model_fields) for key in section_fields(section)}
    close = get_close_matches(name, list(homes), n=1, cutoff=cutoff)
    if not close:
        return None
    section = homes[close[0]]
    return f"[[tables]] {close[0]}" if section == "tables" else f"{section}.{close[0]}"
