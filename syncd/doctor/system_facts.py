"""What a bug report should say of the machine and the libraries. No host name, no user names."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd import __version__
from syncd.presence import is_folder
from syncd.sources.file_systems import ground_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMITS = ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_MEMLOCK", "RLIMIT_CORE", "RLIMIT_FSIZE")
_FILES = (
    *("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/fs/inotify/max_user_instances"),
    *("/proc/sys/fs/inotify/max_queued_events", "/proc/sys/fs/file-max", "/proc/loadavg", "/sys/fs/cgroup/memory.max"),
)
_LIBRARIES = ("aiobotocore", "aiohttp", "botocore", "cronsim", "lakefs", "lakefs-sdk", "pathspec", "platformdirs")
_MORE_LIBRARIES = ("prometheus-client", "psycopg", "pyarrow", "pydantic", "pydantic-settings", "pymysql", "rich")
_LAST_LIBRARIES = ("sqlalchemy", "structlog", "typer", "urllib3", "watchdog", "yarl")


def versions() -> dict[str, Any]:
    """Return the versions of syncd and of what it stands on; None: not installed."""
    libraries = {name: _version(name) for name in (*_LIBRARIES, *_MORE_LIBRARIES, *_LAST_LIBRARIES)}
    return {"syncd": __version__, "python": sys.version, "sqlite": sqlite3.sqlite_version, "libraries": libraries}


def system(places: Mapping[str, Path]) -> dict[str, Any]:
    """Return the kernel, the limits, the memory, and what some places lie on.

    Args:
        places: Directories, by what they are for.
    """
    known = os.uname()
    return {
        "system": known.sysname,
        "kernel": known.release,
        "machine": known.machine,
        "distribution": _distribution(),
        "libc": " ".join(platform.libc_ver()),
        "processors": os.cpu_count(),
        "memory": _memory(),
        "limits": {name: _limit(name) for name in _LIMITS},
        "files": {name: _read(Path(name)) for name in _FILES},
        "file_systems": {name: _place(path) for name, path in places.items()},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _memory() -> dict[str, str]:
    lines = (_read(Path("/proc/meminfo")) or "").splitlines()
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: said[name].strip() for name in ("MemTotal", "MemAvailable", "SwapTotal") if name in said}


def _limit(name: str) -> list[int]:
    return list(resource.getrlimit(getattr(resource, name)))


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _place(path: Path) -> dict[str, Any]:
    there = next((one for one in (path, *path.parents) if is_folder(one)), None)
    if there is None:
        return {"kind": "", "exists": False}
    try:
        disk = os.statvfs(there)
        fd = os.open(there, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kind = ground_of(fd).kind
        finally:
            os.close(fd)
    except OSError as error:
        return {"kind": "", "exists": is_folder(path), "error": error.strerror}
    free, total = (disk.f_frsize * blocks for blocks in (disk.f_bavail, disk.f_blocks))
    inodes = [disk.f_favail, disk.f_files]
    return {"kind": kind, "exists": is_folder(path), "free_bytes": free, "bytes": total, "free_inodes_of": inodes}
