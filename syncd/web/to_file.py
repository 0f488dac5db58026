"""A comparison as one file that needs nothing else: to attach to a model card or a pull request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from syncd import __version__
from syncd.errors import StoreError
from syncd.model import IMAGES
from syncd.snapshots.file_changes import Wanted
from syncd.threads import in_thread_to_its_end
from syncd.thumbnails.maker import Picture
from syncd.thumbnails.sheet import Tile
from syncd.thumbnails.thumbnails import SMALL
from syncd.web import static
from syncd.web.render import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.file_changes import Change, Kind
    from syncd.store.base import ObjectReader
    from syncd.thumbnails.thumbnails import Thumbnails
    from syncd.web.labels import Labels

MOST_CARDS = 300  # of each kind
KINDS: Sequence[Kind] = ("added", "changed", "removed", "renamed", "conflict")
_AT_ONCE = 16


@dataclass(slots=True)
class Card:
    """One change, with its pictures."""

    change: Change
    rows: Sequence[Any] = ()
    made: list[tuple[str, Picture]] = field(default_factory=list)

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """What each shows, and it as an address that holds it all."""
        return [(name, _address(one)) for name, one in self.made if one.shown]

    @property
    def not_shown(self) -> list[str]:
        """Why others are not shown."""
        return [f"{name}: {one.why_not}" for name, one in self.made if not one.shown]


@dataclass(frozen=True, slots=True)
class Section:
    """The changes of one kind."""

    kind: Kind
    count: int
    cards: Sequence[Card]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Makes the pictures of a comparison.

    Args:
        thumbnails: Entered.
        sides: The objects before and after.
        prefix: In front of every key of syncd's.
    """

    thumbnails: Thumbnails
    sides: tuple[ObjectReader, ObjectReader]
    prefix: str

    async def of(self, change: Change) -> list[tuple[str, Picture]]:
        """Return the pictures of a change, by name: "before", "after", or both."""
        if not change.path.startswith(IMAGES):
            return []
        before, after = self.sides
        asked = {
            "added": [("added", after)],
            "renamed": [("renamed", after)],
            "removed": [("deleted", before)],
        }.get(change.kind, [("before", before), ("after", after)])
        return [(name, await self._one(objects, change.path)) for name, objects in asked]

    async def _one(self, objects: ObjectReader, path: str) -> Picture:
        key = self.prefix + path
        try:
            found = await objects.head(key)
            if found is None or found.sha256 is None:
                return Picture(why_not="it is not there" if found is None else "its digest is not known")
            return await self.thumbnails.of(found.sha256, found.size_bytes, SMALL, lambda: objects.get(key))
        except StoreError as error:
            return Picture(why_not=str(error))


async def sections(told: Comparison, labels: Labels, pictures: Pictures) -> list[Section]:
    """Return what differs, by kind, with pictures and rows; at most ``MOST_CARDS`` of each."""
    found = []
    slots = asyncio.Semaphore(_AT_ONCE)

    async def fill(card: Card) -> None:
        async with slots:
            card.made = await pictures.of(card.change)

    for kind in KINDS:
        wanted = Wanted((kind,), IMAGES)
        changes = await in_thread_to_its_end(partial(told.page, wanted, limit=MOST_CARDS))
        rows = await asyncio.to_thread(labels.of, [(one.old_path or one.path, one.path) for one in changes])
        cards = [Card(one, row) for one, row in zip(changes, rows, strict=True)]
        async with asyncio.TaskGroup() as group:
            for card in cards:
                group.create_task(fill(card))
        if cards:
            found.append(Section(kind, await in_thread_to_its_end(partial(told.count, wanted)), cards))
    return found


def tiles(found: Sequence[Section]) -> list[Tile]:
    """Return the pictures of all that differs, for a contact sheet."""
    return [
        Tile(kind=section.kind, name=card.change.path.rpartition("/")[2], picture=one.body)
        for section in found
        for card in section.cards
        for _, one in card.made
        if one.shown
    ]


def as_html(told: Comparison, labels: Labels, found: Sequence[Section], place: str) -> str:
    """Return the file.

    Args:
        told: The comparison.
        labels: What tables say of its images.
        found: By :func:`sections`.
        place: The repository's name.
    """
    style = static.content("style.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        environment()
        .get_template("file.html")
        .render(
            left=told.left,
            right=told.right,
            ends={"from": told.left.name, "to": told.right.name},
            stat=told.of_images,
            tables=told.tables,
            not_read=labels.why_not(),
            sections=found,
            place=place,
            version=__version__,
            style=Markup(style),  # noqa: S704 - a file of ours
            style_digest=digest,
        )
    )


def _address(picture: Picture) -> str:
    return f"data:{picture.content_type};base64,{base64.b64encode(picture.body).decode()}"
