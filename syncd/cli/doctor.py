"""``syncd doctor``: what keeps syncd from its work, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.common import ConfigOption, JsonOption, configured, print_json, say
from syncd.doctor import account
from syncd.doctor.findings import as_json, as_lines, exit_code
from syncd.doctor.redaction import Cleaner, secrets_of
from syncd.errors import EXIT_DONE, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from pwd import struct_passwd

    from syncd.config import Loaded
    from syncd.doctor.examination import Check
    from syncd.doctor.findings import Finding


def doctor(
    config: ConfigOption = None,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="NAME", help="Look as this user, the one that runs syncd; only root can."),
    ] = None,
    as_document: JsonOption = False,
) -> None:
    """Check everything that syncd needs, by trying, and say how to mend what is not well.

    Exit code: 0 nothing fails, 78 the configuration cannot be used, 5 the only fault is that lakeFS cannot be
    reached, 1 anything else fails. Nothing is changed: a branch syncd-doctor-… is made in lakeFS and removed again.
    """
    becoming = account.find(user) if user is not None else None
    findings = diagnosis(config, becoming)
    if as_document:
        print_json(as_json(findings))
    else:
        for line in as_lines(findings):
            say(line)
    if (code := exit_code(findings)) != EXIT_DONE:
        raise typer.Exit(code)


def diagnosis(config: Path | None, user: struct_passwd | None = None) -> list[Finding]:
    """Return what all checks find, without secrets and control characters.

    Args:
        config: The file, if it is named.
        user: Whom to become once the configuration is read; None: nobody else.
    """
    from syncd.doctor import checks, preparing

    if user is not None:
        os.environ["HOME"] = user.pw_dir
    loaded, error = loaded_or_not(config)
    settings = loaded.settings if loaded else None
    cleaner = Cleaner(secrets_of(getattr(loaded or error, "path", config), settings, os.environ))
    if user is not None:
        preparing.load(settings)
        account.become(user)
    if loaded is not None:
        made = checks.of_loaded(loaded, os.environ)
    elif error is not None:
        made = checks.of_faulty(error, os.environ)
    return [cleaner.finding(finding) for finding in asyncio.run(_examined(made))]


def loaded_or_not(config: Path | None) -> tuple[Loaded | None, ConfigError | None]:
    """Return the configuration, or why it cannot be used."""
    try:
        return configured(config), None
    except ConfigError as error:
        return None, error


def online_findings(loaded: Loaded) -> list[Finding]:
    """Return what the checks of lakeFS and the tables find; nothing is written."""
    from syncd.doctor import checks

    cleaner = Cleaner(secrets_of(loaded.path, loaded.settings, os.environ))
    found = asyncio.run(_examined(checks.online(loaded, writes=False)))
    return [cleaner.finding(finding) for finding in found]


async def _examined(made: Sequence[Check]) -> list[Finding]:
    """Make the checks; SIGTERM ends them as Ctrl-C does, so that what was made for them is removed."""
    from syncd.doctor.examination import examine

    examining = asyncio.ensure_future(examine(made))
    with suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, examining.cancel)
    try:
        return await examining
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
