"""``syncd bundle``: one file for a bug report, without secrets."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.common import ConfigOption, say
from syncd.cli.doctor import diagnosis, loaded_or_not

FOLDER = "syncd-bundle"


def bundle(
    config: ConfigOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The .tar.gz to make; one that is there is never overwritten.",
            show_default="syncd-bundle-TIME.tar.gz here",
        ),
    ] = None,
    with_names: Annotated[
        bool, typer.Option("--with-names", help="Names of files may be in it; without this they are only counted.")
    ] = False,
) -> None:
    """Gather versions, configuration, diagnosis, status and log for a bug report: no secrets, no images, no rows."""
    from syncd.doctor import archive
    from syncd.doctor.bundle import gathered
    from syncd.doctor.redaction import Cleaner, secrets_of

    at = datetime.now(UTC)
    target = output or Path(f"{FOLDER}-{at:%Y%m%dT%H%M%SZ}.tar.gz")
    archive.require_free(target)
    loaded, error = loaded_or_not(config)
    settings = loaded.settings if loaded else None
    cleaner = Cleaner(secrets_of(getattr(loaded or error, "path", config), settings, os.environ))
    files = asyncio.run(gathered(loaded, error, diagnosis(config), cleaner, with_names=with_names))
    archive.write(target, FOLDER, files, at)
    say(f"{target} is made. Look through it before you send it: tar xzf {target}")
