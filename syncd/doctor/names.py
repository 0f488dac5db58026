"""Leaves the names of files and the contents of tables out of texts, where they are nobody else's business. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEFT_OUT = "(left out)"
_QUOTED = re.compile(r"(?P<mark>['\"`]).*?(?P=mark)", re.DOTALL)  # what programs quote are names, as a rule
_VALUE_OF_KEY = re.compile(r"(same value in the key column).*", re.DOTALL)
_TEXTS = {
    "why",
    "error",
    "next",
    "next_step",
    "reason",
    "cause",
    "fact",
    "fault",
    "hold",
    "failure",
    "degraded",
    "detail",
}
_SAFE = {
    *("at", "level", "event", "logger", "source", "table", "branch", "tag", "commit_id", "trigger", "kind", "state"),
    *("since", "created_at", "name", "state_dir", "endpoint", "repository", "after", "receiver", "id", "code"),
    *("signal", "version", "uri", "digest", "next_decision_at", "in_step_at", "read_at", "staged_at", "address"),
    *("fix", "storage_namespace", "holder"),
}


class NameFilter:
    """Cuts texts where the name of a file may begin.

    Args:
        places: After which names stand: the root and the areas of a branch, each ending with "/".
    """

    def __init__(self, places: Iterable[str]) -> None:
        self._places = [place for place in places if place.strip("/")]

    def text(self, text: str) -> str:
        """Return a text without what may be a name, up to its end: a name may hold anything."""
        text = _VALUE_OF_KEY.sub(rf"\1 {LEFT_OUT}", text)
        cut = min((at + len(place) for place in self._places if (at := text.find(place)) >= 0), default=None)
        if cut is not None:
            text = text[:cut] + LEFT_OUT
        return _QUOTED.sub(lambda found: found["mark"] + LEFT_OUT + found["mark"], text)

    def values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return JSON values with figures as they are, and of texts only those under keys that never hold a name."""
        return {key: self._value(key, value) for key, value in values.items()}

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return self.values(value)
        if isinstance(value, list):
            return [self._value(key, item) for item in value]
        if not isinstance(value, str) or not value:
            return value
        if key in _TEXTS:
            return self.text(value)
        return self._cut_only(value) if key in _SAFE else LEFT_OUT

    def _cut_only(self, text: str) -> str:
        cut = min((at + len(place) for place in self._places if (at := text.find(place)) >= 0), default=None)
        return text if cut is None else text[:cut] + LEFT_OUT

    def log_line(self, line: str) -> str:
        """Return a line of the log without names: one of syncd's own by its keys, another one cut as any text."""
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        return json.dumps(self.values(values)) if isinstance(values, dict) else self.text(line)
