"""What a folder lies on, and when events of it are not enough."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncd.sources import file_systems
from syncd.sources.file_systems import Ground, ground_of, obstacle, parse_ground

# As the kernel writes it: the optional fields before the "-" vary, odd letters are octal, numbers are used again.
TABLE = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
1 1 0:2 / / rw - rootfs rootfs rw
31 27 0:25 / /srv/images rw,relatime shared:7 master:2 - nfs4 nas:/export rw,vers=4.2
20 31 0:44 / /srv/images/b\040c\134d rw shared:8 - cifs //nas/share rw
21 20 0:45 / /srv/images/b\040c\134d/deep rw - tmpfs tmpfs rw
33 27 0:26 /@data /data rw,relatime - btrfs /dev/vdb rw,subvol=/@data
34 33 0:27 / /data/photos/cam rw - fuse.sshfs cam:/ rw,user_id=0
35 33 0:28 / /data/photos-old rw - vboxsf share rw
36 27 0:29 / /data rw - ext4 /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("number", "path", "kind", "below"),
    [
        (27, b"/home/me", "ext4", {}),
        (31, b"/srv/images", "nfs4", {"b c\\d/": "cifs", "b c\\d/deep/": "tmpfs"}),
        (31, b"/srv/images/a", "nfs4", {}),
        (20, b"/srv/images/b c\\d", "cifs", {"deep/": "tmpfs"}),
        (33, b"/data/photos", "btrfs", {"cam/": "fuse.sshfs"}),
        (36, b"/data/photos", "ext4", {}),  # what is mounted under the mount that hides it does not count
        (99, b"/unknown", "", {}),
    ],
)
def test_the_table_of_mounts_says_what_a_folder_lies_on(
    number: int, path: bytes, kind: str, below: dict[str, str]
) -> None:
    assert parse_ground(TABLE, number, path) == Ground(kind, below)


def test_a_folder_may_be_the_root_of_everything() -> None:
    ground = parse_ground(TABLE, 27, b"/")
    assert ground.kind == "ext4"
    assert {"proc/", "srv/images/", "srv/images/b c\\d/deep/"} <= set(ground.below)
    assert "" not in ground.below


def test_this_system_tells_what_a_folder_lies_on(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        ground = ground_of(fd)
    finally:
        os.close(fd)
    assert ground.kind
    assert ground.below == {}
    fd = os.open("/proc", os.O_RDONLY)
    try:
        assert ground_of(fd).kind == "proc"
    finally:
        os.close(fd)


def test_where_nothing_is_told_nothing_stands_in_the_way() -> None:
    ground = ground_of(-1)
    assert ground == Ground()
    assert obstacle(Path("/srv"), ground) == ""


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "f2fs", ""])
def test_local_file_systems_tell_of_every_change(kind: str) -> None:
    assert obstacle(Path("/srv"), Ground(kind, {"more/": kind})) == ""


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("nfs", "by other machines"),
        ("nfs4", "by other machines"),
        ("cifs", "by other machines"),
        ("smb3", "by other machines"),
        ("ceph", "by other machines"),
        ("9p", "outside of this system"),
        ("virtiofs", "outside of this system"),
        ("vboxsf", "outside of this system"),
        ("fuse", "behind it"),
        ("fuse.sshfs", "behind it"),
        ("fuse.rclone", "behind it"),
    ],
)
def test_what_does_not_tell_of_every_change_is_named_with_the_reason(kind: str, made: str) -> None:
    """Fault 11."""
    assert obstacle(Path("/srv"), Ground(kind)) == f"/srv lies on {kind}, which reports no changes made {made}"
    below = Ground("ext4", {"a/": "xfs", "nas/": kind})
    assert obstacle(Path("/srv"), below) == f"/srv/nas lies on {kind}, which reports no changes made {made}"


def test_the_list_names_kinds_as_the_kernel_does() -> None:
    assert all(kind == kind.lower() and "." not in kind for kind in file_systems._UNREPORTED)
