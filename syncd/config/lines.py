"""On which line of a TOML text does each key stand?

``tomllib`` tells only what a text means. This index is built from a text that ``tomllib`` has accepted, so it checks
nothing again: it follows the text's shape and notes where each table, key and array element begins.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Loc = tuple[str | int, ...]  # ("tables", 0, "csv"): keys and array positions from the top

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_BARE_VALUE = re.compile(r"[^,\]}\n#]+")
_STRINGS = {
    '"""': re.compile(r'"""(?:\\.|[^\\])*?"""(?!")', re.DOTALL),
    "'''": re.compile(r"'''.*?'''(?!')", re.DOTALL),
    '"': re.compile(r'"(?:\\.|[^"\\\n])*"'),
    "'": re.compile(r"'[^'\n]*'"),
}


def line_index(text: str) -> dict[Loc, int]:
    """Return the line, counted from 1, where each table, key and array element begins.

    Args:
        text: Valid TOML. What stands for an invalid one is not defined.
    """
    return _Scanner(text.replace("\r\n", "\n")).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[Loc, int] = {}
        self._counts: dict[Loc, int] = {}  # tables so far in each array of tables

    def document(self) -> dict[Loc, int]:
        table: Loc = ()
        while not self._at_end():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _at_end(self) -> bool:
        self._take(_BLANK)
        return self._at >= len(self._text)

    def _header(self) -> Loc:
        line, array = self._line(), self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        *above, name = self._key()
        path: Loc = ()
        for part in above:
            path = self._open(path, part)
            self._lines.setdefault(path, line)
        if array:
            path = (*path, name)
            self._lines.setdefault(path, line)
            self._counts[path] = self._counts.get(path, 0) + 1
            path = (*path, self._counts[path] - 1)
        else:
            path = self._open(path, name)
        self._lines[path] = line  # where it is spelled out, even if a deeper header came first
        self._at += 2 if array else 1
        return path

    def _open(self, path: Loc, part: str) -> Loc:
        path = (*path, part)
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: Loc) -> None:
        line, path = self._line(), table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._at += 1  # the "="
        self._take(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._take(_SPACE)
            parts.append(_plain(self._take(_KEY_PART)))
            self._take(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, path: Loc) -> None:
        for opening, string in _STRINGS.items():
            if self._text.startswith(opening, self._at):
                self._take(string)
                return
        if self._text[self._at] == "[":
            self._array(path)
        elif self._text[self._at] == "{":
            self._inline_table(path)
        else:
            self._take(_BARE_VALUE)

    def _array(self, path: Loc) -> None:
        position = 0
        while not self._closes("]"):
            self._lines[*path, position] = self._line()
            self._value((*path, position))
            position += 1

    def _inline_table(self, path: Loc) -> None:
        while not self._closes("}"):
            self._pair(path)

    def _closes(self, closing: str) -> bool:
        """Step over the opening bracket or a comma; return whether the closing bracket follows."""
        self._take(_BLANK)
        if self._text[self._at] != closing:
            self._at += 1
            self._take(_BLANK)
        if self._text[self._at] != closing:
            return False
        self._at += 1
        return True

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"line {self._line()}: not valid TOML")
        self._at = match.end()
        return match.group()

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)


def _plain(part: str) -> str:
    if part[0] not in "\"'":
        return part
    return str(tomllib.loads(f"key = {part}")["key"])
