"""The state directory: whether it is there and private, can be written, and has room. Blocks; for threads."""

from __future__ import annotations

import os
import shlex
import tempfile
from typing import TYPE_CHECKING

from syncd.doctor import account
from syncd.doctor.findings import Finding, fail, ok, warn
from syncd.presence import is_folder, is_there
from syncd.sources.file_systems import ground_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITABLE, MODE, SPACE = "state.writable", "state.mode", "state.space"
INODES, FILE_SYSTEM = "state.inodes", "state.file_system"
FEW_BYTES, LITTLE_BYTES = 64 << 20, 1 << 30  # below the first it fails, below the second it warns
FEW_INODES, LITTLE_INODES = 100, 10_000
_SHARED = {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2"}
_ROOM = "make room there, or set service.state_dir to a disk that has some"


def look(state_dir: Path) -> Iterator[Finding]:
    """Yield what there is to say of the state directory. Nothing stays in it."""
    if not is_there(state_dir):
        yield _of_missing(state_dir)
    else:
        yield _of_writing(state_dir)
        yield _of_mode(state_dir)
    place = next((one for one in (state_dir, *state_dir.parents) if is_folder(one)), None)
    if place is None:
        return
    yield from _of_room(place, os.statvfs(place))
    if found := _of_file_system(place):
        yield found


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _of_missing(state_dir: Path) -> Finding:
    above = next(parent for parent in state_dir.parents if is_there(parent))
    if is_folder(above) and os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        return ok(WRITABLE, f"{state_dir} is not there yet; syncd makes it")
    fix = f"sudo install -d -m 0700 -o {account.name()} {_quoted(state_dir)}"
    return fail(WRITABLE, f"{state_dir} is not there, and {account.name()} may not make it in {above}", fix)


def _of_writing(state_dir: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(prefix=".syncd-doctor-", dir=state_dir) as file:
            file.write(b"syncd doctor")
            file.flush()
            os.fsync(file.fileno())
    except PermissionError:
        fix = f"sudo chown -R {account.name()} {_quoted(state_dir)}"
        return fail(WRITABLE, f"{account.name()} may not write in {state_dir}", fix)
    except OSError as error:
        return fail(WRITABLE, f"{state_dir} cannot be written: {error.strerror}", _ROOM)
    return ok(WRITABLE, f"{account.name()} can write in {state_dir}")


def _of_mode(state_dir: Path) -> Finding:
    status = state_dir.stat()
    mode = status.st_mode & 0o777
    if mode & 0o077:
        fact = f"{state_dir} has the mode {mode:04o}: others may look into it, or write"
        return warn(MODE, fact, f"chmod 700 {_quoted(state_dir)}")
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        return warn(MODE, f"{state_dir} is another user's", f"sudo chown -R {account.name()} {_quoted(state_dir)}")
    return ok(MODE, f"{state_dir} is its owner's alone ({mode:04o})")


def _of_room(place: Path, disk: os.statvfs_result) -> Iterator[Finding]:
    free = disk.f_bavail * disk.f_frsize
    fact = f"{free / 1e6:,.0f} MB free on the disk of {place}"
    if free < FEW_BYTES:
        yield fail(SPACE, f"{fact}; syncd stops when there is none", _ROOM)
    elif free < LITTLE_BYTES:
        yield warn(SPACE, fact, _ROOM)
    else:
        yield ok(SPACE, fact)
    if not disk.f_files:
        yield ok(INODES, f"the disk of {place} makes inodes as they are needed")
        return
    left = disk.f_favail
    fact = f"{left:,} inodes free on the disk of {place}"
    if left < FEW_INODES:
        yield fail(INODES, f"{fact}; without one no file can be made", "remove files there: each takes an inode")
    elif left < LITTLE_INODES:
        yield warn(INODES, fact, "remove files there: each takes an inode")
    else:
        yield ok(INODES, fact)


def _of_file_system(place: Path) -> Finding | None:
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        kind = ground_of(fd).kind
    finally:
        os.close(fd)
    return of_kind(place, kind)


def of_kind(place: Path, kind: str) -> Finding:
    """Return whether a file system can hold a journal."""
    if kind in _SHARED or kind == "fuse.sshfs":
        fact = f"{place} lies on {kind}, where SQLite's write-ahead log is not safe"
        return fail(FILE_SYSTEM, fact, "set service.state_dir to a directory on a disk of this machine")
    return ok(FILE_SYSTEM, f"{place} lies on {kind or 'a file system that the system does not name'}")
