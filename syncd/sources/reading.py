"""Reading settled files, many a call. Blocks; for threads."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING, NamedTuple

from syncd.fingerprint import ChangedDuringReadError, OpenForWritingError, ReadingStoppedError, fingerprint_file
from syncd.sources import tree
from syncd.sources.judge import unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from syncd.model import Fingerprint
    from syncd.sources.looker import Looker
    from syncd.sources.pending import Candidate
    from syncd.sources.sight import Fault

_ANOTHER_THING = {errno.ENOENT, errno.ELOOP, errno.ENXIO}  # gone, a symlink, a socket: the next look tells


class Outcome(NamedTuple):
    """What became of one file: it was read, is open for writing, has a fault, or, with none of these, changed."""

    candidate: Candidate
    fingerprint: Fingerprint | None = None
    held: bool = False
    fault: Fault | None = None


def read_files(looker: Looker, candidates: Sequence[Candidate]) -> list[Outcome]:
    """Read files of the root, each only if it is as it was listed and stays so; return one outcome for each.

    Raises:
        SourceUnavailableError: The root is lost.
    """
    outcomes: list[Outcome] = []
    ordered = sorted(candidates)
    with looker.opened() as root_fd:
        for directory, group in itertools.groupby(ordered, key=lambda found: tree.directory_of(found.path)):
            members = list(group)
            try:
                with tree.open_beneath(root_fd, directory) as fd:
                    outcomes.extend(_read_directory(fd, members, looker.stopped.is_set))
            except OSError as error:
                fault = unreadable(directory.removesuffix("/"), error)
                outcomes.extend(Outcome(candidate, fault=fault) for candidate in members)
    return outcomes


def _read_directory(fd: int | None, candidates: Sequence[Candidate], stopped: Callable[[], bool]) -> Iterator[Outcome]:
    for candidate in candidates:
        yield Outcome(candidate) if fd is None else _read(fd, candidate, stopped)


def _read(fd: int, candidate: Candidate, stopped: Callable[[], bool]) -> Outcome:
    try:
        fingerprint, _ = fingerprint_file(fd, tree.name_of(candidate.path), candidate.signature, stopped=stopped)
    except OpenForWritingError:
        return Outcome(candidate, held=True)
    except (ChangedDuringReadError, ReadingStoppedError):
        return Outcome(candidate)
    except OSError as error:
        if error.errno in _ANOTHER_THING:
            return Outcome(candidate)
        return Outcome(candidate, fault=unreadable(candidate.path, error))
    return Outcome(candidate, fingerprint=fingerprint)
