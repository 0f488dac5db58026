"""What a folder lies on, by the kernel's table of mounts, and which file systems do not tell of every change.

The table is asked by the number of the mount that an open directory is on (Linux 3.15). That is exact where the other
ways guess: the longest prefix of a path fails at symlinks and at mounts over mounts, ``st_dev`` at btrfs, whose
numbers stand in no table, and ``statfs`` gives a magic number that all of FUSE shares.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# inotify tells of what is done through this very mount: man 7 inotify, "Limitations and caveats". Not here is overlay.
# Whatever is done through it is told of, also where a directory of a lower layer is copied up while it is watched and
# after the kernel has dropped its caches (tests/torture/test_file_systems.py); and a change of the layers behind its
# back is forbidden by its documentation. Nor is fuseblk: what is on its disk is changed by nobody else.
_BY_OTHER_MACHINES = "by other machines"
_OUTSIDE = "outside of this system"
_BEHIND = "behind it"
_UNREPORTED = {
    **dict.fromkeys(["nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda"], _BY_OTHER_MACHINES),
    **dict.fromkeys(["ceph", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "ocfs2", "gfs2"], _BY_OTHER_MACHINES),
    **dict.fromkeys(["9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "drvfs", "hostfs", "fakeowner"], _OUTSIDE),
    "fuse": _BEHIND,
}
_FUSE_KINDS = "fuse."  # such as fuse.sshfs
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Ground:
    """What a folder lies on."""

    kind: str = ""  # the file system's name, such as "ext4"; "" where that cannot be told
    below: Mapping[str, str] = field(default_factory=dict)  # mounts below it: directory ("a/b/") -> kind


def ground_of(root_fd: int) -> Ground:
    """Return what an open folder lies on; an empty answer where the system does not tell. Blocks, for microseconds."""
    try:
        number = _mount_number(Path(f"/proc/self/fdinfo/{root_fd}").read_bytes())
        path = os.fsencode(Path(f"/proc/self/fd/{root_fd}").readlink())
        return parse_ground(Path("/proc/self/mountinfo").read_bytes(), number, path)
    except (OSError, ValueError, LookupError):  # no /proc, an old kernel, another system
        return Ground()


def parse_ground(mountinfo: bytes, number: int, path: bytes) -> Ground:
    """Return what a directory lies on.

    Args:
        mountinfo: The table: man 5 proc, ``/proc/pid/mountinfo``.
        number: Of the mount it is on.
        path: Its own, absolute and without symlinks.

    Raises:
        ValueError, LookupError: The table has another form.
    """
    kind, above = "", path.rstrip(b"/") + b"/"
    on: dict[int, list[_Mount]] = {}
    for line in mountinfo.splitlines():
        mount = _parsed(line)
        on.setdefault(mount.parent, []).append(mount)
        kind = mount.kind if mount.number == number else kind
    below, stack = dict[str, str](), [number]
    while stack:  # from mount to mount, so that none counts which is hidden under this one
        for mount in on.get(stack.pop(), ()):
            if mount.point.startswith(above) and mount.point != above:  # the first mount of all is on itself
                below[os.fsdecode(mount.point[len(above) :]) + "/"] = mount.kind
                stack.append(mount.number)
    return Ground(kind, below)


def obstacle(root: Path, ground: Ground) -> str:
    """Return in words why events of a folder would not tell of every change; "" if they do."""
    for directory, kind in (("", ground.kind), *sorted(ground.below.items())):
        unreported = _UNREPORTED.get("fuse" if kind.startswith(_FUSE_KINDS) else kind)
        if unreported:
            return f"{root / directory} lies on {kind}, which reports no changes made {unreported}"
    return ""


class _Mount(NamedTuple):
    number: int
    parent: int
    point: bytes
    kind: str


def _mount_number(fdinfo: bytes) -> int:
    return int(fdinfo.partition(b"mnt_id:")[2].split()[0])


def _parsed(line: bytes) -> _Mount:
    fields = line.split(b" ")
    point = _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), fields[4])
    kind = fields[fields.index(b"-", 6) + 1]  # after the optional fields, of which there may be any number
    return _Mount(int(fields[0]), int(fields[1]), point, kind.decode())
