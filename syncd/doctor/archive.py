"""A .tar.gz that is there whole or not at all, for its owner alone, and never in place of another file."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING

from syncd.errors import SyncdError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

_MODE = 0o600


def write(target: Path, folder: str, files: Mapping[str, str], at: datetime) -> None:
    """Write texts into an archive.

    Args:
        target: The file to make.
        folder: In which all lies that comes out of it.
        files: The texts, by name.
        at: The time that all of them get.

    Raises:
        UsageError: The file is there already.
        SyncdError: It cannot be written.
    """
    require_free(target)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz") as archive:
                    for name, text in files.items():
                        _add(archive, f"{folder}/{name}", text.encode(errors="backslashreplace"), at)
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, target)  # unlike a rename it takes no file's place
        finally:
            with suppress(FileNotFoundError):
                unfinished.unlink()
    except FileExistsError:
        raise _there(target) from None
    except OSError as error:
        raise SyncdError(
            f"{target} cannot be written: {error.strerror}", next_step="choose another place with --output FILE"
        ) from error


def require_free(target: Path) -> None:
    """Refuse a file that is there already.

    Raises:
        UsageError: It is.
    """
    if os.path.lexists(target):
        raise _there(target)


def _add(archive: tarfile.TarFile, name: str, content: bytes, at: datetime) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), _MODE, int(at.timestamp())
    archive.addfile(member, io.BytesIO(content))


def _there(target: Path) -> UsageError:
    return UsageError(f"{target} is there already, and is left as it is", next_step="choose another --output FILE")
