"""Pieces of SQL that several statements share."""

from __future__ import annotations


def is_image(alias: str = "") -> str:
    """Return the condition that an entry is an image, in a form that the primary key answers."""
    column = f"{alias}.directory" if alias else "directory"
    return f"{column} >= 'images/' AND {column} < 'images0'"


def directory_of(key: str) -> str:
    """Return the directory in a key: what remains when its characters are trimmed off the right up to the last "/"."""
    return f"rtrim({key}, replace({key}, '/', ''))"
