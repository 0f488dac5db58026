"""``syncd demo``: the main job on real images."""

from __future__ import annotations

import signal
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from syncd.errors import EXIT_DONE, EXIT_FAILED


def demo(
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where it happens.", show_default="a temporary folder, removed at the end"),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, to play with, until Ctrl-C.")] = False,
) -> None:
    """Watch 1,797 images and a table change, see the snapshots come, and compare each with what the folder held."""
    from syncd.demo import extras

    extras.require()
    from syncd.demo.play import play
    from syncd.demo.story import Story
    from syncd.embedded.binary import find_or_build

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C: so that they, too, leave nothing behind
    binary = find_or_build()  # here, where its progress can be seen; the daemon finds it then
    agreed = play(directory, keep=keep, story=Story(), binary=binary)
    raise typer.Exit(EXIT_DONE if agreed else EXIT_FAILED)
