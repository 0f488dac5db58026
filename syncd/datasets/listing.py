"""The images of a snapshot, by number, in little memory. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass

from syncd.model import SHA256_BYTES

_NO_DIGEST = bytes(SHA256_BYTES)


@dataclass(frozen=True, slots=True)
class Listed:
    """One image."""

    path: str  # below ``images/``
    size_bytes: int
    sha256: bytes | None  # None: whoever wrote the object did not say


class Listing:
    """Images in the order of their paths, numbered from 0.

    Memory: the path and 48 bytes for each image, in four blocks without Python objects. So forked processes share them,
    and other processes get them as four blocks of bytes.
    """

    def __init__(self) -> None:
        self._paths, self._ends = bytearray(), array("Q")
        self._sizes, self._digests = array("Q"), bytearray()

    def add(self, path: str, size_bytes: int, sha256: bytes | None) -> None:
        """Add the next image.

        Raises:
            ValueError: It does not come after the one before.
        """
        name = path.encode()
        if self._ends and name <= self._name(len(self) - 1):
            raise ValueError(f"{path!r} was listed out of order")
        self._paths += name
        self._ends.append(len(self._paths))
        self._sizes.append(size_bytes)
        self._digests += sha256 or _NO_DIGEST

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Listed:
        at = number * SHA256_BYTES
        sha256 = bytes(self._digests[at : at + SHA256_BYTES])
        return Listed(self.path(number), self._sizes[number], None if sha256 == _NO_DIGEST else sha256)

    def path(self, number: int) -> str:
        """Return the path of an image."""
        return self._name(number).decode()

    def find(self, path: str, near: int = 0) -> int | None:
        """Return the number of the image at a path, or None if there is none. Costs some microseconds.

        Args:
            path: Below ``images/``.
            near: Where it may be, which is looked at first.
        """
        name = path.encode()
        if near < len(self) and self._name(near) == name:
            return near
        number = bisect_left(range(len(self)), bytearray(name), key=self._name)
        return number if number < len(self) and self._name(number) == name else None

    def _name(self, number: int) -> bytearray:
        return self._paths[self._ends[number - 1] if number else 0 : self._ends[number]]
