"""The watched folder: whether it can be read, what it lies on, and whether there are enough watches for it."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.doctor import account
from syncd.doctor.findings import Finding, fail, of_error, ok, warn
from syncd.errors import SyncdError
from syncd.sources import tree
from syncd.sources.file_systems import ground_of, obstacle
from syncd.sources.ignore_file import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.config import Settings
    from syncd.sources.ignore import Rules

LOOK_S = 8.0  # how long the folder is looked through
READABLE, FILE_SYSTEM, PATTERNS = "folder.readable", "folder.file_system", "folder.patterns"
WATCHES, INSTANCES = "folder.watches", "folder.instances"
_POLLING = 'set source.watch = "polling"'


@dataclass(slots=True)
class Seen:
    """What a look through the folder has found."""

    directories: int = 0  # that are entered, the root included: each needs a watch
    files: int = 0  # that are synced
    unreadable: int = 0  # files and directories
    examples: list[tuple[str, os.stat_result, bool]] = field(default_factory=list)  # the first: path, status, directory
    complete: bool = True  # False: it took too long


def look(settings: Settings, limits: Limits) -> Iterator[Finding]:
    """Yield what there is to say of the folder. Blocks."""
    source = settings.source
    try:
        with tree.open_root(source.root) as fd:
            rules, fault = load_rules(fd, source.include, source.exclude, None)
            if fault is not None:
                yield fail(PATTERNS, f".syncdignore: {fault.detail}", f"correct it: {source.root / '.syncdignore'}")
            ground = ground_of(fd)
            yield _of_file_system(source.root, ground.kind, obstacle(source.root, ground), source.watch)
            seen = look_through(source.root, rules)
    except SyncdError as error:
        yield _closed(source.root, error)
        return
    yield _of_reading(source.root, seen)
    if source.watch != "polling":
        tables = sum(table.csv is not None for table in settings.tables)
        yield from of_limits(limits, directories=seen.directories, instances=1 + tables, complete=seen.complete)


def look_through(root: Path, rules: Rules, *, limit_s: float = LOOK_S) -> Seen:
    """Go through a folder as syncd does, and note what this user may not read."""
    seen, stack, until = Seen(), [""], time.monotonic() + limit_s
    while stack:
        directory = stack.pop()
        seen.directories += 1
        try:
            with os.scandir(root / directory) as entries:
                for entry in entries:
                    path = directory + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if rules.enters(path + "/"):
                            stack.append(path + "/")
                    elif entry.is_file(follow_symlinks=False) and rules.keeps(path):
                        seen.files += 1
                        if not os.access(entry.path, os.R_OK, effective_ids=True):
                            _note(seen, root, path, directory=False)
        except OSError:
            _note(seen, root, directory, directory=True)
        if time.monotonic() > until:
            seen.complete = not stack
            break
    return seen


def _note(seen: Seen, root: Path, path: str, *, directory: bool) -> None:
    try:
        status = (root / path).lstat()
    except OSError:
        return  # it has gone, or its directory is closed and was noted
    seen.unreadable += 1
    if len(seen.examples) < 1:
        seen.examples.append((path, status, directory))


def _closed(root: Path, error: SyncdError) -> Finding:
    """Return what is wrong with a root that cannot be opened, with the line that opens it."""
    found = of_error(READABLE, error)
    try:
        if (closed := account.closed_way(root)) is not None:
            user = account.name()
            return fail(READABLE, f"{user} may not pass {closed}, on the way to {root}", account.pass_through(closed))
        status = root.stat()
    except OSError:
        return found
    if stat.S_ISDIR(status.st_mode) and not os.access(root, os.R_OK | os.X_OK, effective_ids=True):
        return fail(
            READABLE, f"{account.name()} may not list {root}", account.grant(root, status, directory=True, below=True)
        )
    return found


def _of_reading(root: Path, seen: Seen) -> Finding:
    told = f"{_counted(seen.files, 'file')} in {_counted(seen.directories, 'directory')}"
    if not seen.complete:
        told = f"of {root} so far {told} were looked at"
    if not seen.unreadable:
        return ok(READABLE, f"{account.name()} can read {root}: {told}")
    path, status, directory = seen.examples[0]
    if not path:
        return fail(
            READABLE, f"{account.name()} may not list {root}", account.grant(root, status, directory=True, below=True)
        )
    return warn(
        READABLE,
        f"{account.name()} may not read {seen.unreadable:,} of {told}, the first: {root / path}",
        account.grant(root, status, directory=directory, below=True),
    )


def _counted(count: int, what: str) -> str:
    if count == 1:
        return f"1 {what}"
    return f"{count:,} {what.removesuffix('y')}{'ies' if what.endswith('y') else 's'}"


def _of_file_system(root: Path, kind: str, hindrance: str, watch: str) -> Finding:
    if not hindrance:
        return ok(FILE_SYSTEM, f"{root} lies on {kind or 'a file system that the system does not name'}")
    if watch == "polling":
        return ok(FILE_SYSTEM, f"{hindrance}; it is listed from time to time, as configured")
    return warn(FILE_SYSTEM, hindrance, _POLLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of inotify this user may have; None: the system does not say."""

    watches: int | None
    instances: int | None
    watches_in_use: int = 0  # by other processes of this user, as far as they can be seen
    instances_in_use: int = 0


def limits_now(own_pid: int | None, proc: Path = Path("/proc")) -> Limits:
    """Return the limits and what is in use. Blocks.

    Args:
        own_pid: The daemon of this dataset, whose own use does not count; None: it does not run.
        proc: Where the kernel tells.
    """
    watches, instances = _in_use(own_pid, proc)
    return Limits(
        watches=_limit(proc, "max_user_watches", "max_inotify_watches"),
        instances=_limit(proc, "max_user_instances", "max_inotify_instances"),
        watches_in_use=watches,
        instances_in_use=instances,
    )


def _limit(proc: Path, of_system: str, of_namespace: str) -> int | None:
    found = []
    for file in (proc / "sys/fs/inotify" / of_system, proc / "sys/user" / of_namespace):
        try:
            found.append(int(file.read_text("ascii")))
        except (OSError, ValueError):
            continue
    return min(found, default=None)


def _in_use(own_pid: int | None, proc: Path) -> tuple[int, int]:
    watches = instances = 0
    mine = os.geteuid()
    for process in proc.glob("[0-9]*"):
        try:
            if process.name == str(own_pid or "") or process.stat().st_uid != mine:
                continue
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) == "anon_inode:inotify":
                    instances += 1
                    watches += (process / "fdinfo" / descriptor.name).read_bytes().count(b"inotify wd:")
        except OSError:  # it has ended, or is none of ours
            continue
    return watches, instances


def of_limits(limits: Limits, *, directories: int, instances: int, complete: bool) -> Iterator[Finding]:
    """Yield whether the limits are enough.

    Args:
        limits: What there is.
        directories: That need a watch each.
        instances: That are needed.
        complete: Whether all directories were counted.
    """
    yield _of_limit(
        *(WATCHES, "max_user_watches", "watches", limits.watches, limits.watches_in_use, directories),
        said=f"{'' if complete else 'at least '}{_counted(directories, 'directory')} to watch",
    )
    yield _of_limit(
        *(INSTANCES, "max_user_instances", "instances", limits.instances, limits.instances_in_use, instances),
        said=f"{instances} needed",
    )


def _of_limit(name: str, key: str, word: str, limit: int | None, in_use: int, needed: int, *, said: str) -> Finding:
    if limit is None:
        return ok(name, f"{said}; the system does not tell its limit of inotify {word}")
    others = f", {in_use:,} in use by other programs of {account.name()}" if in_use else ""
    fact = f"{said}, of {limit:,} inotify {word}{others}"
    if needed + in_use <= limit:
        return ok(name, fact)
    raised = 1 << max(10, (2 * (needed + in_use)).bit_length())
    return warn(
        name,
        f"{fact}: syncd would list the whole folder from time to time instead",
        f"echo fs.inotify.{key}={raised} | sudo tee -a /etc/sysctl.d/60-syncd.conf && sudo sysctl --system",
    )
