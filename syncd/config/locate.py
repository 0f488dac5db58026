"""Which files and folders a configuration starts from: the file itself, and where state is kept by default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.config.faults import ConfigFault, FaultyConfigError
from syncd.config.layers import ENVIRONMENT, Place
from syncd.presence import is_file, is_there

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_VARIABLE = "SYNCD_CONFIG"
LOCAL_NAME = "syncd.toml"
SYSTEM_FILE = Path("/etc/syncd/syncd.toml")
SYSTEM_STATE = Path("/var/lib/syncd")


def find(path: Path | None, *, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the configuration file to read, absolute; None when there is none to be found.

    Raises:
        FaultyConfigError: A file was named, by ``path`` or ``$SYNCD_CONFIG``, and is not there.
    """
    named = path if path is not None else Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None
    if named is None:
        return next((found for found in (cwd / LOCAL_NAME, SYSTEM_FILE) if is_file(found)), None)
    found = cwd / named
    if not _may_be_there(found):
        rule = "does not exist" if path is not None else f"does not exist ({CONFIG_VARIABLE} names it)"
        raise FaultyConfigError([ConfigFault(file=str(found), line=None, key="", rule=rule)], path=found)
    return found


def default_state_dir(
    environ: Mapping[str, str], *, home: Path | None, system: Path = SYSTEM_STATE
) -> tuple[str, Place]:
    """Return the state folder for those who name none, and where that choice comes from."""
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return given, Place(ENVIRONMENT, None, f"{ENVIRONMENT} STATE_DIRECTORY")
    place = Place("", None, "default")
    base = system if is_there(system) else system.parent
    if home is None or os.access(base, os.W_OK | os.X_OK):
        return str(system), place
    user_state = environ.get("XDG_STATE_HOME", "")
    folder = Path(user_state) if user_state.startswith("/") else home / ".local" / "state"
    return str(folder / "syncd"), place


def _may_be_there(path: Path) -> bool:
    """Return False only for what is surely not there: of another fault the reading tells."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
