"""Threads that change a folder and keep an exact record of it: what a path held when, and what was in between.

Each writer works below a directory of its own, so that the history of every path is a plain sequence.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.model import IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_PAUSE_S = 0.03
MOST_FILES = 60  # of each writer
TIDY_EVERY = 200  # changes; else empty folders become as many as changes
SUBFOLDERS = ("a", "b", "a/deep", "a/deep/er", "ünï code", "c d")


@dataclass(frozen=True, slots=True)
class Change:
    """A path became this between two moments of ``time.monotonic``."""

    began_at: float
    ended_at: float
    content: bytes | None  # None: gone
    how: str  # what the writer did


class Writer(threading.Thread):
    """Creates, replaces, rewrites, renames and deletes files and folders until told to stop."""

    def __init__(self, root: Path, number: int, seed: int) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self._root, self._own = root, f"w{number}"
        self._rng = random.Random(seed)
        self._files: dict[str, bytes] = {}  # path below the root, as it is now
        self._count, self._how = 0, ""
        self._told_to_stop = threading.Event()
        self._paused = threading.Lock()
        self.error: BaseException | None = None
        self.history: dict[str, list[Change]] = defaultdict(list)

    def stop(self) -> None:
        """Finish the change under way and end."""
        self._told_to_stop.set()
        self.join()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Change something, wait a moment, again."""
        try:
            while not self._told_to_stop.wait(self._rng.random() * LONGEST_PAUSE_S):
                self._act()
                if self._count % TIDY_EVERY == 0:
                    self._tidy()
        except BaseException as error:  # noqa: BLE001 - told to the test by stop()
            self.error = error

    def _act(self) -> None:
        actions = [self._create, self._create, self._rewrite, self._replace, self._replace, self._rename, self._delete]
        actions += [self._rename_folder, self._delete_folder] if self._rng.random() < 0.3 else []
        action = self._delete if len(self._files) > MOST_FILES else self._rng.choice(actions)
        self._how = action.__name__.lstrip("_")
        action()

    def _tidy(self) -> None:
        for folder, _, _ in os.walk(self._root / self._own, topdown=False):
            with suppress(OSError):  # not empty
                Path(folder).rmdir()

    @contextmanager
    def _recorded(self, becoming: Mapping[str, bytes | None]) -> Iterator[None]:
        began_at = time.monotonic()
        yield
        ended_at = time.monotonic()
        for path, content in becoming.items():
            self.history[IMAGES + path].append(Change(began_at, ended_at, content, self._how))
            if content is None:
                self._files.pop(path, None)
            else:
                self._files[path] = content

    def _content(self) -> bytes:
        self._count += 1
        return f"{self._own} {self._count} ".encode() + self._rng.randbytes(self._rng.randrange(2000))

    def _folder(self) -> str:
        if self._rng.random() < 0.25:
            return f"{self._own}/new-{self._count}/x/y"
        return f"{self._own}/{self._rng.choice(SUBFOLDERS)}"

    def _create(self) -> None:
        content, path = self._content(), f"{self._folder()}/{self._count}.png"
        with self._recorded({path: content}):
            file = self._root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def _any(self) -> str | None:
        return self._rng.choice(sorted(self._files)) if self._files else None

    def _rewrite(self) -> None:
        if path := self._any():
            content = self._content()
            with self._recorded({path: content}):
                (self._root / path).write_bytes(content)

    def _replace(self) -> None:
        if path := self._any():
            content = self._content()
            temporary = self._root / f"{path}.tmp"
            temporary.write_bytes(content)
            with self._recorded({path: content}):
                temporary.replace(self._root / path)

    def _rename(self) -> None:
        if path := self._any():
            self._count += 1
            target = f"{self._folder()}/{self._count}-renamed.png"
            with self._recorded({path: None, target: self._files[path]}):
                (self._root / target).parent.mkdir(parents=True, exist_ok=True)
                (self._root / path).rename(self._root / target)

    def _delete(self) -> None:
        if path := self._any():
            with self._recorded({path: None}):
                (self._root / path).unlink()

    def _rename_folder(self) -> None:
        if path := self._any():
            self._count += 1
            source, target = os.path.dirname(path), f"{self._own}/moved-{self._count}"  # noqa: PTH120 - a text
            if source == self._own:
                return
            moving = {name: content for name, content in self._files.items() if name.startswith(source + "/")}
            becoming: dict[str, bytes | None] = dict.fromkeys(moving)
            becoming |= {target + name.removeprefix(source): content for name, content in moving.items()}
            with self._recorded(becoming):
                (self._root / source).rename(self._root / target)

    def _delete_folder(self) -> None:
        if path := self._any():
            folder = os.path.dirname(path)  # noqa: PTH120
            with self._recorded({name: None for name in self._files if name.startswith(folder + "/")}):
                shutil.rmtree(self._root / folder)


def allowed(changes: list[Change], called_at: float, answered_at: float) -> set[bytes | None]:
    """Return what a snapshot may hold of a path, given when it was called for and answered.

    The last content that was in place before the call, and each that came while the call was under way.
    """
    before = [change for change in changes if change.ended_at < called_at]
    during = [change for change in changes if change.ended_at >= called_at and change.began_at <= answered_at]
    last = before[-1].content if before else None
    return {last, *(change.content for change in during)}


class NotAllowedError(AssertionError):
    """A snapshot holds of a path what it must not hold."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: the snapshot {what}")
        self.key = key


def assert_allowed(found: Mapping[str, bytes], writers: list[Writer], called_at: float, answered_at: float) -> int:
    """Fail unless the snapshot holds of every path what it may; return how many paths left no choice."""
    certain, known = 0, set()
    for writer in writers:
        # a copy is made in one piece; a list of pairs may stop for the garbage collector while the writer goes on
        for key, changes in writer.history.copy().items():
            known.add(key)
            may = allowed(list(changes), called_at, answered_at)
            certain += len(may) == 1
            if found.get(key) not in may:
                raise NotAllowedError(
                    key,
                    f"holds {_shown(found.get(key))}, allowed is {' or '.join(map(_shown, may))}; the call took"
                    f" {answered_at - called_at:.3f} s; before and after its begin: {_told(changes, called_at)}",
                )
    unknown = {key for key in found.keys() - known if not _begun(key, writers)}
    assert not unknown, f"nobody ever wrote {sorted(unknown)}"
    return certain


def _begun(key: str, writers: list[Writer]) -> bool:
    """A change is recorded once it is complete: look again, it may have been under way."""
    return any(key in writer.history for writer in writers)


def _told(changes: list[Change], called_at: float) -> str:
    return ", ".join(
        f"{change.how} {change.began_at - called_at:.3f}…{change.ended_at - called_at:.3f} s: {_shown(change.content)}"
        for change in changes
    )


def _shown(content: bytes | None) -> str:
    return "nothing" if content is None else f"{content[:12]!r}… ({len(content)} bytes)"
