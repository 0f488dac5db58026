"""Which columns of a table mean something to syncd, and how a commit's metadata says so. Pure.

A snapshot is read years later by who has no configuration: its commit names each table's key, and how a row's image
is found.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.sources.tables.images import ImageColumn

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "syncd.key."  # each is followed by the table's name
_IMAGE_COLUMN = "syncd.image_column."
_IMAGE_PREFIX = "syncd.image_prefix."
_IMAGE_PATTERN = "syncd.image_pattern."
_CLOSURE = "syncd.closure."


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What two columns of a table are for, and how it goes with the images."""

    key: str | None  # None: a commit that does not say it, as those of older versions
    image: ImageColumn | None = None  # None: its rows name no images
    closure: str | None = None  # what was done where rows and images do not fit: "off", "warn", "hold" or "exclude"

    def metadata(self, table: str) -> dict[str, str]:
        """Return what a commit says of them; what is not set is not said."""
        image = self.image or ImageColumn(name="")
        said = {
            _KEY: self.key,
            _IMAGE_COLUMN: image.name,
            _IMAGE_PREFIX: image.prefix,
            _IMAGE_PATTERN: image.pattern,
            _CLOSURE: self.closure,
        }
        return {f"{word}{table}": value for word, value in said.items() if value}


def roles_in_commit(said: Mapping[str, str], table: str) -> Roles:
    """Return what a commit's metadata says of a table's columns."""
    name = said.get(f"{_IMAGE_COLUMN}{table}")
    prefix, pattern = said.get(f"{_IMAGE_PREFIX}{table}", ""), said.get(f"{_IMAGE_PATTERN}{table}", "")
    return Roles(
        key=said.get(f"{_KEY}{table}"),
        image=ImageColumn(name=name, prefix=prefix, pattern=pattern) if name else None,
        closure=said.get(f"{_CLOSURE}{table}"),
    )


def roles_in_schema(schema: str | bytes) -> Roles:
    """Return what the body of a ``_schema.json`` says of a table's columns."""
    document = json.loads(schema)
    image = document.get("image")
    return Roles(
        key=document["key"],
        image=ImageColumn(name=image["column"], prefix=image["prefix"], pattern=image["pattern"]) if image else None,
    )
