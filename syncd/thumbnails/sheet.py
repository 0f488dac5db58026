"""A contact sheet: many pictures on one, each with a frame that tells what became of it."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.errors import SyncdError
from syncd.thumbnails import isolated

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_TILES = 600
DRAW_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One picture of the sheet."""

    kind: str  # "added", "changed", "removed", "renamed"
    name: str
    picture: bytes


class NoSheetError(SyncdError):
    """It could not be drawn."""


async def contact_sheet(tiles: Sequence[Tile]) -> bytes:
    """Return the PNG; drawn by a process of its own. The first ``MOST_TILES`` are on it.

    Raises:
        NoSheetError: Pillow is not installed, or drawing took too long.
    """
    asked = [
        {"kind": one.kind, "name": one.name, "picture": b64encode(one.picture).decode()} for one in tiles[:MOST_TILES]
    ]
    child = await isolated.start("sheet_child")
    try:
        async with asyncio.timeout(DRAW_S):
            drawn, _ = await child.communicate(json.dumps(asked).encode())
    except TimeoutError:
        drawn = b""
    finally:
        isolated.kill(child)
        await child.wait()
    if not drawn:
        raise NoSheetError("the contact sheet could not be drawn")
    return drawn
