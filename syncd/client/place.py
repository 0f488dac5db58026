"""Where a client finds its repository: a configuration file, the environment, or what the call says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.config import load
from syncd.errors import UsageError
from syncd.service.logs import through_logging

if TYPE_CHECKING:
    import os

    from syncd.config import Settings


def settings_of(config: str | os.PathLike[str] | None, **lakefs: Any) -> Settings:
    """Return the settings of a client that reads.

    Args:
        config: The configuration file; None: where every command looks for it, if there is one.
        lakefs: Keys of ``[lakefs]`` that the call says; None: it does not.

    Raises:
        FaultyConfigError: Something is wrong; it lists all that is.
        UsageError: No server is named anywhere.
    """
    through_logging()
    said = {key: value for key, value in lakefs.items() if value is not None}
    loaded = load(None if config is None else Path(config), reads_only=True, said=said)
    if loaded.path is None and loaded.settings.lakefs.embedded:
        raise UsageError(
            "no lakeFS server is named",
            next_step='say endpoint="http://…", set LAKECTL_SERVER_ENDPOINT_URL, or name a configuration file',
        )
    return loaded.settings
