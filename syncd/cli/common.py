"""What all commands share: options, output, and how an error ends the process."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from syncd.config import Loaded, load
from syncd.config.secrets import secrets_of
from syncd.errors import SyncdError
from syncd.service import logs
from syncd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncd.service.recent import Recent

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration file. Default: $SYNCD_CONFIG, ./syncd.toml, /etc/syncd/syncd.toml.",
        show_default=False,
    ),
]
ReferenceArgument = Annotated[
    str, typer.Argument(metavar="[REF]", help="A tag, a commit id or its beginning, a branch, or latest.")
]
WhichArgument = Annotated[
    str, typer.Argument(metavar="REF", help="A tag, a commit id or its beginning, a branch, or latest.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys, for scripts.")]
DEFAULT_TIMEOUT_S = 60.0
TimeoutOption = Annotated[
    float,
    typer.Option(min=0, metavar="SECONDS", help="How long files that are still changing are waited for."),
]
AllowHeldOption = Annotated[
    bool, typer.Option("--allow-held", help="Make the snapshot without deletions that are held.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Goes into the commit, as syncd.reason.", show_default=False)
]

messages = Console(stderr=True, highlight=False, soft_wrap=True)
results = Console(highlight=False, soft_wrap=True)


def configured(
    config: Path | None,
    *,
    log_level: int = logging.WARNING,
    reads_only: bool = False,
    recorder: Recent | None = None,
    redaction: logs.Redaction | None = None,
    said: Mapping[str, Any] = MappingProxyType({}),
) -> Loaded:
    """Read the configuration and set logging up as it says; commands log what goes wrong, the daemon more.

    Args:
        config: The file, if it is named.
        log_level: What is logged.
        reads_only: The command reads snapshots: without ``source.root`` it will do.
        recorder: Is given each line of the log.
        redaction: Is told of the secrets; for who may learn of more.
        said: Keys that the command says itself, such as "service.listen".

    Raises:
        ConfigError: It cannot be used.
    """
    loaded = load(config, reads_only=reads_only, said=said)
    settings = loaded.settings
    redaction = redaction or logs.Redaction()
    redaction.hide(secrets_of(settings))
    logs.set_up(settings.service.log_format, redaction=redaction, level=log_level, recorder=recorder)
    return loaded


@contextmanager
def needs_daemon() -> Iterator[None]:
    """Name the next step where no daemon answers.

    Raises:
        SyncdError: None listens, or it went away.
    """
    try:
        yield
    except ConnectionError as error:
        raise SyncdError(str(error), next_step="systemctl start syncd, or syncd run") from error


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Print a line for people on stdout; file names with control characters cannot play tricks."""
    results.print(printable(text), markup=False)
