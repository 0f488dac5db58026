"""Which paths of the folder are synced: the patterns of the configuration, .syncdignore, and the built-in names.

Pure: a path is judged by its text alone. Patterns are those of .gitignore; later ones overrule earlier ones, and
what is below an excluded directory stays out. In this order: ``exclude``, .syncdignore, built-in, ``include``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from syncd.errors import SyncdError
from syncd.sources.temporary_names import IGNORE_FILE, foreign_directory, temporary_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GLOB_CHARACTERS = frozenset("*?[]\\!/ ")
_REMEMBERED_DIRECTORIES = 10_000
VERSION = 1  # of what patterns and built-in names mean: counted up when that changes


class BadPatternError(SyncdError):
    """A pattern cannot be understood."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a path is synced, and the rule that says so."""

    kept: bool
    rule: str  # 'include pattern "*.jpg"', 'exclude pattern "*.bak"', '.syncdignore line 3: "drafts/"', 'built-in: …'


class _Patterns:
    """One list of patterns; answers which of them decides about a path."""

    def __init__(self, lines: Sequence[str], label: str) -> None:
        self._label, self._lines = label, lines
        self._spec = GitIgnoreSpec([_compiled(line, number, label) for number, line in enumerate(lines, start=1)])
        self.empty = all(pattern.include is None for pattern in self._spec.patterns)

    def match(self, path: str) -> bool | None:
        """Return True if a pattern takes the path, False if one beginning with "!" does, None if none does."""
        return None if self.empty else self._spec.check_file(path).include

    def rule(self, path: str) -> str:
        """Return the deciding pattern as a person finds it."""
        index = self._spec.check_file(path).index
        if index is None:
            return ""
        return f'{self._label.format(line=index + 1)} "{self._lines[index].strip()}"'


def pattern_fault(line: str) -> str | None:
    """Return what is wrong with one line of patterns, or None; comments and empty lines are fine."""
    text = line.strip()
    try:
        means_nothing = GitIgnoreSpecPattern(line).include is None
    except ValueError:
        means_nothing = True
    if not means_nothing or not text or text.startswith("#"):
        return None
    return f'"{text}" is not a pattern'


def _compiled(line: str, number: int, label: str) -> GitIgnoreSpecPattern:
    fault = pattern_fault(line)
    if fault:
        raise BadPatternError(
            f"{label.format(line=number)} {fault}",
            next_step="write it as in .gitignore; a backslash takes a special character as it is",
        )
    return GitIgnoreSpecPattern(line)


class Rules:
    """The patterns in force. Immutable, so that any thread may ask.

    Args:
        include: Patterns of the files to sync.
        exclude: Patterns of files and directories to leave out.
        ignore_lines: The lines of .syncdignore.

    Attributes:
        identity: Equal for rules that judge every path alike.

    Raises:
        BadPatternError: One of them is not a pattern.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str], ignore_lines: Sequence[str] = ()) -> None:
        self.identity = (VERSION, tuple(include), tuple(exclude), tuple(ignore_lines))
        self._include = _Patterns(include, "include pattern")
        self._exclude = _Patterns(exclude, "exclude pattern")
        self._ignore = _Patterns(ignore_lines, IGNORE_FILE + " line {line}:")
        self._all = any(pattern in {"*", "**"} for pattern in include)
        self._endings = tuple(pattern[1:] for pattern in include if _is_ending(pattern))
        self._only_endings = len(self._endings) == len(include)
        if any(pattern.startswith("!") for pattern in include):
            self._all, self._endings, self._only_endings = False, (), False
        self._directories = tuple(ending + "/" for ending in self._endings)
        self.enters = lru_cache(_REMEMBERED_DIRECTORIES)(self._enters)

    def keeps(self, path: str) -> bool:
        """Return whether a file is synced, given that its directory is entered; fast, for each file of a listing."""
        if not self._includes(path):
            return False
        name = path.rpartition("/")[2]
        excluded, ignored = self._exclude.match(path), self._ignore.match(path)
        if excluded or ignored:
            return False
        return temporary_file(name) is None or excluded is False or ignored is False

    def _includes(self, path: str) -> bool:
        if self._all or (self._endings and path.endswith(self._endings)):
            return True
        if self._only_endings:  # as in .gitignore, a directory of such a name brings in all below it
            return any(ending in path for ending in self._directories)
        return bool(self._include.match(path))

    def _enters(self, directory: str) -> bool:
        """Return whether a directory ("a/b/") is looked into; False as soon as one above it is not."""
        above, _, name = directory[:-1].rpartition("/")
        if not name:
            return True
        if above and not self.enters(above + "/"):
            return False
        excluded, ignored = self._exclude.match(directory), self._ignore.match(directory)
        if excluded or ignored:
            return False
        return foreign_directory(name) is None or excluded is False or ignored is False

    def concerns(self, path: str) -> bool:
        """Return whether a path is kept, all its directories included."""
        directory, slash, _ = path.rpartition("/")
        return self.keeps(path) and self.enters(directory + slash)

    def wanted(self, path: str) -> bool:
        """Return whether an event of this path, "a/b" or for a directory "a/b/", may matter."""
        return self.enters(path) if path.endswith("/") else path == IGNORE_FILE or self.keeps(path)

    def verdict(self, path: str) -> Verdict:
        """Return whether a file is synced and which rule decides it, for ``syncd explain``."""
        parts = path.split("/")
        for depth in range(1, len(parts)):
            directory = "/".join(parts[:depth]) + "/"
            if not self.enters(directory):
                return Verdict(kept=False, rule=self._out(directory, foreign_directory(parts[depth - 1])))
        if self.keeps(path):
            return Verdict(kept=True, rule=self._include.rule(path))
        if not self._includes(path):
            return Verdict(kept=False, rule=self._include.rule(path) or "not included by source.include")
        return Verdict(kept=False, rule=self._out(path, temporary_file(parts[-1])))

    def _out(self, path: str, built_in: str | None) -> str:
        for patterns in (self._exclude, self._ignore):
            if patterns.match(path):
                return patterns.rule(path)
        return f"built-in: {built_in}"


def _is_ending(pattern: str) -> bool:
    return pattern.startswith("*.") and len(pattern) > len("*.") and _GLOB_CHARACTERS.isdisjoint(pattern[1:])


def path_patterns(lines: Sequence[str]) -> Callable[[str], bool]:
    """Return what tells whether patterns mean a path, as in .gitignore: also all that is below a directory they mean.

    Raises:
        BadPatternError: One cannot be understood.
    """
    patterns = _Patterns(lines, "pattern")
    return lambda path: bool(patterns.match(path))
