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


def fit(missing: int, orphaned: int) -> str:
    """Return how a table and the images go together: "1 row without image, 2 images without row".

    Args:
        missing: Rows that name no image of those there are.
        orphaned: Images that no row names.
    """
    parts = [
        f"{missing:,} {'row' if missing == 1 else 'rows'} without image" if missing else "",
        f"{orphaned:,} {'image' if orphaned == 1 else 'images'} without row" if orphaned else "",
    ]
    return ", ".join(part for part in parts if part) or "rows and images fit"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
