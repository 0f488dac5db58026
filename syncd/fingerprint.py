"""What a file's content is, read so that a change during the reading is noticed; and the digest of many files.

Everything here blocks: call it from threads, many files a call.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import marshal
import os
import signal
import stat
from typing import TYPE_CHECKING

from syncd.errors import SyncdError
from syncd.model import Fingerprint, Signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.model import FileRow

CHUNK_BYTES = 1 << 20
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not make the open wait

_STATE_BITS = 2048
_STATE_BYTES = _STATE_BITS // 8
_MODULUS = 1 << _STATE_BITS


class ChangedDuringReadError(SyncdError):
    """The file is not, or no longer, what was to be read; nothing of it may be used."""


class OpenForWritingError(SyncdError):
    """A program has the file open for writing, so it may not be whole yet."""


class ReadingStoppedError(SyncdError):
    """The reading was given up on request."""


def signature_of(status: os.stat_result) -> Signature:
    """Return the part of an ``lstat`` answer that tells one version of a file from another."""
    return Signature(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def read_fingerprint(
    fd: int, *, expected_bytes: int = CHUNK_BYTES, stopped: Callable[[], bool] = lambda: False
) -> Fingerprint:
    """Read a file from its current position to its end and return its SHA-256, MD5 and size.

    Args:
        fd: Open for reading.
        expected_bytes: Its size, as far as is known; a buffer no larger than it is made at each reading.
        stopped: Asked after each MiB; True ends the reading.

    Raises:
        ReadingStoppedError: ``stopped`` said so.
        OSError: It cannot be read.
    """
    sha256, md5, size_bytes = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    buffer_bytes = min(CHUNK_BYTES, expected_bytes + 1)
    while chunk := os.read(fd, buffer_bytes):
        sha256.update(chunk)
        md5.update(chunk)
        size_bytes += len(chunk)
        if len(chunk) == CHUNK_BYTES and stopped():
            raise ReadingStoppedError("the reading was stopped")
    return Fingerprint(sha256.digest(), md5.digest(), size_bytes)


def fingerprint_file(
    directory_fd: int,
    name: str,
    expected: Signature | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Fingerprint, Signature]:
    """Read one regular file of an open directory, and make sure that it did not change meanwhile.

    Its status before, after, and as last listed must be the same. A write in the same tick of the clock as the
    status before would go unseen, so the caller passes only files whose times are at least a tick old.

    Args:
        directory_fd: The directory that directly holds the file; no symlink is followed.
        name: Its name in there.
        expected: What the listing said of it; None takes any.
        stopped: See :func:`read_fingerprint`.

    Raises:
        ChangedDuringReadError: It is not the expected file, not a regular file, or it changed.
        OpenForWritingError: A writer has it open.
        ReadingStoppedError: ``stopped`` said so.
        OSError: It is gone or cannot be read.
    """
    fd = os.open(name, OPEN_FLAGS, dir_fd=directory_fd)
    try:
        before = os.fstat(fd)
        signature = signature_of(before)
        if not stat.S_ISREG(before.st_mode) or signature != (expected or signature):
            raise ChangedDuringReadError(f"{name} changed since it was listed")
        if opened_for_writing(fd):
            raise OpenForWritingError(f"{name} is open for writing")
        fingerprint = read_fingerprint(fd, expected_bytes=before.st_size, stopped=stopped)
        if signature_of(os.fstat(fd)) != signature or fingerprint.size_bytes != signature.size_bytes:
            raise ChangedDuringReadError(f"{name} changed while it was read")
        return fingerprint, signature
    finally:
        os.close(fd)


def opened_for_writing(fd: int) -> bool:
    """Return whether any program has this file open for writing, as far as the kernel tells us.

    Asks for a read lease, which Linux refuses while there is a writer, and gives it back at once. False where that
    cannot be asked: another owner's file, some network file systems, other systems than Linux.

    Args:
        fd: Open for reading only.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # Who opens it for writing before the lease is back makes the kernel send a signal: by default SIGIO,
        # which ends a process. SIGURG is ignored unless asked for.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    with contextlib.suppress(OSError):  # closing the file gives it back as well
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def listing_digest(rows: list[FileRow], salt: bytes = b"") -> bytes:
    """Return 16 bytes that stand for files of one directory, sorted by name, and for the salt."""
    # the second format: later ones differ with how often an object is referred to
    return hashlib.blake2b(marshal.dumps(rows, 2), digest_size=16, salt=salt).digest()


class SetDigest:
    """A digest of a set of (key, SHA-256) pairs that does not depend on their order.

    It can follow each change without a look at the rest. Each pair is hashed to a number of 2,048 bits and the
    numbers are added modulo 2**2048: AdHash (Bellare and Micciancio, 1997), with a modulus so large that looking
    for other sets of the same sum (Wagner's generalised birthday search) is out of reach.
    """

    def __init__(self, state: bytes = bytes(_STATE_BYTES)) -> None:
        if len(state) != _STATE_BYTES:
            raise ValueError(f"the state of a set's digest has {_STATE_BYTES} bytes, not {len(state)}")
        self._sum = int.from_bytes(state, "big")

    @property
    def state(self) -> bytes:
        """Return the 256 bytes from which ``SetDigest(state)`` carries on."""
        return self._sum.to_bytes(_STATE_BYTES, "big")

    def add(self, key: str, sha256: bytes) -> None:
        """Put a pair in. The caller sees to it that it is not in yet: a pair can be in twice."""
        self._sum = (self._sum + _number(key, sha256)) % _MODULUS

    def remove(self, key: str, sha256: bytes) -> None:
        """Take a pair out that is in."""
        self._sum = (self._sum - _number(key, sha256)) % _MODULUS

    def hexdigest(self) -> str:
        """Return the SHA-256 of the state: 64 lower-case hex digits."""
        return hashlib.sha256(self.state).hexdigest()


def _number(key: str, sha256: bytes) -> int:
    encoded = key.encode()
    pair = len(encoded).to_bytes(8, "big") + encoded + sha256
    return int.from_bytes(hashlib.shake_256(pair).digest(_STATE_BYTES), "big")
