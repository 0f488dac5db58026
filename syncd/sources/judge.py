"""What one look at one path means, by its name, its status and the rules. No reading, no inventory."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.fingerprint import signature_of
from syncd.keys import describe_key_fault, key_fault
from syncd.model import IMAGES, ProblemCode
from syncd.sources import tree
from syncd.sources.sight import Fault, Sight

if TYPE_CHECKING:
    import os

    from syncd.model import Signature
    from syncd.sources.ignore import Rules

_SPOILS_ALL_BELOW = {ProblemCode.NAME_NOT_UTF8, ProblemCode.NAME_CONTROL_CHARACTER, ProblemCode.NAME_RESERVED}
_SYMLINK = "It is a symbolic link, which syncd does not follow. Put the file itself here, or exclude it"
_NOT_REGULAR = "It is a pipe, socket or device, not a file. Remove or exclude it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The rules of one configuration.

    Args:
        rules: The patterns in force.
        prefix: Of the keys on the branch; counts towards their length.
        max_object_bytes: Larger files are not synced.
    """

    rules: Rules
    prefix: str
    max_object_bytes: int

    def of_file(self, path: str, status: os.stat_result, known: Signature | None, sight: Sight) -> None:
        """Put a regular file with a sound key where it belongs in the sight.

        Args:
            path: Of the file.
            status: Its ``lstat``.
            known: The signature its key was last observed with.
            sight: Filled.
        """
        signature = signature_of(status)
        if signature == known:
            sight.quiet.append(path)
        elif signature.size_bytes > self.max_object_bytes:
            detail = (
                f"It has {signature.size_bytes:,} bytes, and upload.max_object_bytes is {self.max_object_bytes:,}."
                " Raise that, or exclude the file"
            )
            sight.faults.append(Fault(path, ProblemCode.TOO_LARGE, detail))
        else:
            sight.changed.append((path, signature))

    @property
    def salt(self) -> bytes:
        """Stand for all that a directory's files are judged by; 16 bytes."""
        said = repr((self.rules.identity, self.prefix, self.max_object_bytes)).encode()
        return hashlib.blake2b(said, digest_size=16).digest()

    def of_name(self, path: str) -> Fault | None:
        """Return what is wrong with a file's path, if anything."""
        code = key_fault(self.prefix + IMAGES + path)
        return Fault(path, code, describe_key_fault(code)) if code else None

    def of_directory_name(self, directory: str) -> Fault | None:
        """Return what is wrong with a directory's path ("a/b/"), if it spoils every key below."""
        code = key_fault(f"{self.prefix}{IMAGES}{directory}x")
        if code not in _SPOILS_ALL_BELOW:
            return None
        return Fault(directory[:-1], code, f"{describe_key_fault(code)}. Nothing below it is synced until then")

    def of_oddity(self, directory_fd: int, path: str, status: os.stat_result) -> Fault | None:
        """Return the fault of what is neither a file nor a directory, if a file of that name would be synced."""
        if stat.S_ISLNK(status.st_mode):
            name = path.rpartition("/")[2]
            hides_directory = self.rules.enters(path + "/") and tree.leads_to_directory(directory_fd, name)
            named = hides_directory or self.rules.concerns(path)
            return Fault(path, ProblemCode.SYMLINK, _SYMLINK) if named else None
        if tree.is_file(status) or stat.S_ISDIR(status.st_mode) or not self.rules.concerns(path):
            return None
        return Fault(path, ProblemCode.NOT_REGULAR, _NOT_REGULAR)


def unreadable(path: str, error: OSError) -> Fault:
    """Return the fault of a path that the system does not let us read."""
    detail = f"It cannot be read: {error.strerror}. Give the user that runs syncd the right to read it"
    return Fault(path, ProblemCode.UNREADABLE, detail)


def not_mounted(directory: str) -> Fault:
    """Return the fault of a directory ("a/b/") on which something was mounted, and is not any more."""
    detail = (
        "What was mounted here is not any more, so nothing below it is taken for deleted."
        " Mount it again; if it is gone for good, remove this folder or restart syncd"
    )
    return Fault(directory.removesuffix("/"), ProblemCode.UNREADABLE, detail)
