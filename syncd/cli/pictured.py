"""``syncd diff --html`` and ``--contact-sheet``: what changed, with pictures, as a file."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from syncd.cli.common import say
from syncd.cli.diff import compared
from syncd.errors import UsageError
from syncd.service.shelf import PICTURES
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.config import Settings


async def write_files(settings: Settings, left: str, right: str, *, html: Path | None, sheet: Path | None) -> None:
    """Compare two snapshots, and write what changed into files.

    Raises:
        UsageError: A file cannot be written.
    """
    from syncd.web.application import require_pages

    require_pages()
    from syncd.thumbnails.sheet import contact_sheet
    from syncd.thumbnails.thumbnails import Thumbnails
    from syncd.web.labels import read_labels
    from syncd.web.to_file import Pictures, as_html, sections, tiles

    prefix, kept = settings.lakefs.prefix, user_cache_path("syncd") / PICTURES
    async with compared(settings, left, right) as (told, objects, versions), Thumbnails(kept) as thumbnails:
        sides = (told.left, objects[0]), (told.right, objects[1])
        labels = await read_labels(
            versions, prefix, *sides, differing=lambda keys: in_thread_to_its_end(partial(told.among, keys))
        )
        found = await sections(told, labels, Pictures(thumbnails, objects, prefix))
        if html is not None:
            text = as_html(told, labels, found, settings.lakefs.repository)
            await asyncio.to_thread(_write, html, text.encode("utf-8", "replace"))
        if sheet is not None:
            await asyncio.to_thread(_write, sheet, await contact_sheet(tiles(found)))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    say(f"{path}")
