"""Which image does a row name? From the value in the image column to the image's key. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from syncd.model import IMAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

_PATH_GROUP = "path"
_ROWS_AT_A_TIME = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageColumn:
    """The column that names images, and how its values become paths below the folder of images."""

    name: str
    prefix: str = ""  # taken off where a value begins with it
    pattern: str = ""  # a regular expression; the path is its group "path", or its first one

    def key_of(self, value: object) -> str | None:
        """Return the key of the image that a value names, or None if it names none.

        What a value says is taken as it is: a path that leaves the folder, or is written with other separators, is
        the key of no image, and so of one that is missing.
        """
        text = "" if value is None else str(value)
        if self.pattern:
            found = re.fullmatch(self.pattern, text)
            if found is not None:
                text = found[_PATH_GROUP] if _PATH_GROUP in found.groupdict() else found[1]
                text = text or ""
        path = text.removeprefix(self.prefix).removeprefix("./")
        return IMAGES + path if path else None


def shown_of(
    rows: Sequence[Sequence[Any]],
    position: int,
    image_column: ImageColumn,
    there: Callable[[Collection[str]], Collection[str]],
) -> Iterator[bool]:
    """Yield for each row whether its image is there, asking for some thousands at a time.

    Args:
        rows: Any number.
        position: Where in a row the name of its image stands.
        image_column: Reads it.
        there: Returns those of some images that are there.
    """
    for at in range(0, len(rows), _ROWS_AT_A_TIME):
        images = [image_column.key_of(row[position]) for row in rows[at : at + _ROWS_AT_A_TIME]]
        found = there({image for image in images if image is not None})
        yield from (image in found for image in images)


def path_fault(path: str) -> str:
    """Return why no image can be at a path that a row names, as far as the path alone tells; else ""."""
    if path.startswith("/"):
        return "it is an absolute path; set image_prefix to what comes before the path below source.root"
    if ".." in path.split("/"):
        return "it leads out of source.root"
    if "://" in path:
        return "it is a URL; set image_prefix or image_pattern to find the path in it"
    if "\\" in path:
        return "it is written with backslashes; syncd's paths have /"
    return ""
