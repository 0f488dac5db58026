"""Whose eyes the checks look with, and the lines that give a user the rights it lacks."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import shlex
from typing import TYPE_CHECKING

from syncd.errors import UsageError
from syncd.presence import is_folder

if TYPE_CHECKING:
    from pathlib import Path

_PR_SET_DUMPABLE = 4  # from <sys/prctl.h>


def name() -> str:
    """Return the name of the user that this process is, or its number."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def find(user: str) -> pwd.struct_passwd:
    """Return a user.

    Raises:
        UsageError: There is none, or this process may not become it.
    """
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(
            f"there is no user {user!r}",
            cause="the user of a systemd unit with DynamicUser exists only while it runs",
            next_step="systemctl show syncd -p User",
        ) from None
    if os.geteuid() not in (0, found.pw_uid):
        raise UsageError(
            f"only root can look as {user}",
            next_step=f"sudo syncd doctor --user {shlex.quote(user)}, or without --user",
        )
    return found


def become(user: pwd.struct_passwd) -> None:
    """Give up this process's rights for those of a user, with its groups, for good."""
    if os.geteuid() == user.pw_uid:
        return
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    # else the kernel keeps it from its own /proc/self/fd, which syncd names directories by
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def grant(path: Path, status: os.stat_result, *, directory: bool, below: bool = False) -> str:
    """Return the line that lets this user read a path.

    Args:
        path: What it may not read.
        status: Its status.
        directory: Whether it is one.
        below: Whether all below it is meant, and what comes into it later.
    """
    user, bits = name(), 0o050 if directory else 0o040
    if (status.st_mode & bits) == bits and status.st_gid not in {os.getegid(), *os.getgroups()}:
        try:
            group = grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            group = str(status.st_gid)
        if group != "root":
            return (
                f"sudo usermod -aG {group} {user}, or SupplementaryGroups={group} in the systemd unit; then restart it"
            )
    if below:
        return f"sudo setfacl -R -m u:{user}:rX,d:u:{user}:rX {shlex.quote(str(path))}"
    return f"sudo setfacl -m u:{user}:{'rx' if directory else 'r'} {shlex.quote(str(path))}"


def closed_way(path: Path) -> Path | None:
    """Return the topmost directory above a path that this user may not pass, or None."""
    for parent in reversed(path.parents):
        if is_folder(parent) and not os.access(parent, os.X_OK, effective_ids=True):
            return parent
    return None


def pass_through(directory: Path) -> str:
    """Return the line that lets this user pass a directory, and no more."""
    return f"sudo setfacl -m u:{name()}:x {shlex.quote(str(directory))}"
