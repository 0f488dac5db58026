"""Names and amounts as people read them, the same on a terminal and on a page."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with control characters, and what is not valid text, shown as escapes."""
    return "".join(
        character if character.isprintable() or character == "\n" else _escaped(character) for character in text
    )


def size(count: float) -> str:
    """Return a number of bytes: "1.2 MB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - the step from unit to unit
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
