"""A read-only file system in user space that shows another directory; as one of a network, it tells of no change.

Run as ``fuse_mirror.py BEHIND PLACE`` where one may mount; it serves until its parent ends. The protocol is that of
Linux's ``include/uapi/linux/fuse.h``, as far as listing and reading need it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys
from pathlib import Path

LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 3, 14, 15, 17, 18, 25, 26
OPENDIR, READDIR, RELEASEDIR = 27, 28, 29
EMPTY_ANSWER = {OPEN: 16, OPENDIR: 16, STATFS: 80, RELEASE: 0, RELEASEDIR: 0, FLUSH: 0}  # bytes
NO_ANSWER = {2, 36, 38, 42}  # FORGET, INTERRUPT, DESTROY, BATCH_FORGET
HEADER = struct.Struct("<IIQQIIII")
PR_SET_PDEATHSIG = 1
ROOT = 1


class Mirror:
    """Answers requests; a node is a path below the directory, and no answer may be kept by the kernel."""

    def __init__(self, behind: Path) -> None:
        self._paths, self._nodes = {ROOT: behind}, {behind: ROOT}

    def answer(self, opcode: int, node: int, body: bytes) -> bytes:
        path = self._paths.get(node, Path())
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 131072, 1, 0, 0, 0, *[0] * 7)
        if opcode == LOOKUP:
            return self._entry(path / os.fsdecode(body.rstrip(b"\0")))
        if opcode == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + _attributes(path)
        if opcode in {READ, READDIR}:
            _, offset, size = struct.unpack_from("<QQI", body)
            return path.read_bytes()[offset : offset + size] if opcode == READ else _names(path, offset, size)
        if opcode in EMPTY_ANSWER:
            path.lstat()
            return bytes(EMPTY_ANSWER[opcode])
        raise OSError(errno.ENOSYS, "not here")

    def _entry(self, path: Path) -> bytes:
        attributes = _attributes(path)
        node = self._nodes.setdefault(path, len(self._nodes) + 1)
        self._paths[node] = path
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + attributes


def _attributes(path: Path) -> bytes:
    status = path.lstat()
    moments = [divmod(moment, 10**9) for moment in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)]
    seconds, nanoseconds = zip(*moments, strict=True)
    plain = struct.pack("<6Q3I", status.st_ino, status.st_size, 0, *seconds, *nanoseconds)
    return plain + struct.pack("<7I", status.st_mode, status.st_nlink, 0, 0, 0, 4096, 0)


def _names(path: Path, offset: int, size: int) -> bytes:
    found = b""
    for number, below in enumerate(sorted(path.iterdir())[offset:], offset + 1):
        name = os.fsencode(below.name)
        entry = struct.pack("<QQII", number, number, len(name), 0) + name
        entry += bytes(-len(entry) % 8)
        if len(found) + len(entry) > size:
            break
        found += entry
    return found


def serve(behind: str, place: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"mirror", os.fsencode(place), b"fuse.mirror", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount")
    mirror = Mirror(Path(behind))
    while True:
        request = os.read(fd, 1 << 20)
        _, opcode, unique, node, *_ = HEADER.unpack_from(request)
        if opcode in NO_ANSWER:
            continue
        try:
            body, error = mirror.answer(opcode, node, request[HEADER.size :]), 0
        except OSError as failure:
            body, error = b"", -(failure.errno or errno.EIO)
        os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


if __name__ == "__main__":
    serve(*sys.argv[1:])
