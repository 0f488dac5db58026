"""Draws a contact sheet, as a process of its own: JSON comes in, a PNG goes out. Needs Pillow."""

from __future__ import annotations

import base64
import io
import json
import resource
import sys
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from syncd.thumbnails.child import FORMATS, MOST_BYTES_OF_MEMORY, limit

if TYPE_CHECKING:
    from collections.abc import Sequence

EDGE, FRAME, TEXT, GAP = 128, 4, 16, 8
MOST_COLUMNS = 12
LONGEST_NAME = 20
COLOURS = {"added": "#176b33", "changed": "#b07a00", "removed": "#a31d2a", "renamed": "#2a4fa3"}
GROUND, INK = "#ffffff", "#16201c"


def main() -> None:
    """Draw what is asked for on stdin."""
    limit(resource.RLIMIT_AS, MOST_BYTES_OF_MEMORY)
    limit(resource.RLIMIT_CORE, 0)
    drawn = sheet(json.load(sys.stdin))
    drawn.save(sys.stdout.buffer, "PNG")


def sheet(tiles: Sequence[dict[str, Any]]) -> Image.Image:
    """Return the sheet.

    Args:
        tiles: Each with "kind", "name", and "picture" (base64).
    """
    columns = max(1, min(MOST_COLUMNS, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    width, height = EDGE + 2 * FRAME + GAP, EDGE + 2 * FRAME + TEXT + GAP
    drawn = Image.new("RGB", (columns * width + GAP, rows * height + GAP), GROUND)
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default()
    for number, tile in enumerate(tiles):
        x, y = GAP + number % columns * width, GAP + number // columns * height
        colour = COLOURS.get(tile["kind"], INK)
        pen.rectangle((x, y, x + EDGE + 2 * FRAME - 1, y + EDGE + 2 * FRAME - 1), fill=colour)
        _place(drawn, tile["picture"], x + FRAME, y + FRAME)
        name = tile["name"] if len(tile["name"]) <= LONGEST_NAME else "\u2026" + tile["name"][1 - LONGEST_NAME :]
        pen.text((x, y + EDGE + 2 * FRAME), name, fill=INK, font=font)
    return drawn


def _place(drawn: Image.Image, picture: str, x: int, y: int) -> None:
    ground = Image.new("RGB", (EDGE, EDGE), GROUND)
    with Image.open(io.BytesIO(base64.b64decode(picture)), formats=FORMATS) as image:
        small = image.convert("RGBA")
        small.thumbnail((EDGE, EDGE))
    ground.paste(small, ((EDGE - small.width) // 2, (EDGE - small.height) // 2), small)
    drawn.paste(ground, (x, y))


if __name__ == "__main__":
    main()
