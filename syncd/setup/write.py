"""The files that set-up leaves: written whole or not at all, and never over another one."""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import shlex
import string
import tempfile
import tomllib
from base64 import b32encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.config import FaultyConfigError, load
from syncd.config.credentials import UnfitSecretError, below_trusted_folder, read_secret
from syncd.config.example import answered_toml
from syncd.config.settings import section_fields
from syncd.config.values import shown
from syncd.embedded.files import sync_folder
from syncd.errors import ConfigError
from syncd.setup.questions import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Answers = dict[str, dict[str, Any]]  # keys of the configuration by section; "tables" holds those of one table
_SECRET_LETTERS = string.ascii_letters + string.digits
_SECRET_LENGTH = 40


def secret_beside(config: Path) -> Path:
    """Return where the secret of a configuration is kept, under the name that the systemd units have for it."""
    name = "lakefs_secret_access_key"
    return config.with_name(name if config.stem == "syncd" else f"{config.stem}.{name}")


def make_secret() -> str:
    """Return a new secret."""
    return "".join(secrets.choice(_SECRET_LETTERS) for _ in range(_SECRET_LENGTH))


def key_id_of(secret: str) -> str:
    """Return the key id that goes with a secret made here: 20 characters, the most lakeFS takes.

    It follows from the secret, so that a run that was killed before it wrote the id down is followed by one that
    knows it. 75 bits of a digest tell nothing of 40 random characters.
    """
    return "SYNCD" + b32encode(hashlib.sha256(b"syncd key id\0" + secret.encode()).digest()).decode()[:15]


def read_stored(path: Path) -> str | None:
    """Return the secret in a file; None: there is no such file.

    Raises:
        SetupError: It cannot be used.
    """
    try:
        return read_secret(path, any_mode=below_trusted_folder(path, os.environ))
    except FileNotFoundError:
        return None
    except UnfitSecretError as error:
        raise SetupError(f"{path} {error}") from None


def read_config(path: Path) -> dict[str, Any] | None:
    """Return what a configuration file holds; None: there is none.

    Raises:
        SetupError: It is there and cannot be read.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not valid TOML"
        raise SetupError(f"{path} is there and cannot be read: {said}", next_step=_elsewhere(path)) from None


def require_agreement(path: Path, answers: Answers) -> bool:
    """Return whether the file is there, and says what was answered.

    Raises:
        SetupError: It says something else.
    """
    there = read_config(path)
    if there is None:
        return False
    if differing := list(_differences(there, answers)):
        raise SetupError(
            f"{path} is there and says something else: {'; '.join(differing)}",
            cause="syncd init overwrites nothing",
            next_step=f"answer as it says, edit it, or {_elsewhere(path)}",
        )
    return True


def require_fit(path: Path, answers: Answers) -> None:
    """Refuse answers that do not go together, by loading them as syncd will.

    Raises:
        ConfigError: It lists what is wrong.
        SetupError: The folder of the configuration cannot be written.
    """
    lakefs = dict(answers["lakefs"])
    if lakefs.pop("secret_access_key_file", None):
        lakefs["secret_access_key"] = "not-written-yet"  # noqa: S105  # stands in for it
    with _temporary(path, answered_toml({**answers, "lakefs": lakefs})) as trial:
        try:
            load(trial)
        except FaultyConfigError as error:
            raise ConfigError(str(error).replace(str(trial), str(path)).replace(trial.name, path.name)) from None


def write_new(path: Path, text: str, *, mode: int) -> None:
    """Write a file that is not there yet: it appears whole.

    Raises:
        SetupError: It is there with another content, or cannot be written.
    """
    with _temporary(path, text, mode=mode) as fresh:
        try:
            os.link(fresh, path)  # fails, where a rename would replace
            sync_folder(path.parent)
        except FileExistsError:
            if not _says(path, text):
                raise SetupError(f"{path} is there already", next_step=_elsewhere(path)) from None
        except OSError as error:
            raise _unwritable(path, error) from error


def tidy(*paths: Path) -> None:
    """Remove what a killed run has left beside these files."""
    for path in paths:
        with suppress(OSError):  # it is in nobody's way
            for left in path.parent.glob(f"{glob.escape(_prefix(path))}*"):
                left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}.init-"


class _temporary:  # noqa: N801  # used as a function
    """A file beside another, gone at the end; ``tidy`` removes it if this process is killed before."""

    def __init__(self, path: Path, text: str, *, mode: int = 0o600) -> None:
        self._beside, self._text, self._mode = path, text, mode
        self._fresh: Path | None = None

    def __enter__(self) -> Path:
        try:
            descriptor, name = tempfile.mkstemp(prefix=_prefix(self._beside), dir=self._beside.parent)  # 0600
            self._fresh = Path(name)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, self._mode)
                file.write(self._text)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            self.__exit__()
            raise _unwritable(self._beside, error) from error
        return self._fresh

    def __exit__(self, *error: object) -> None:
        if self._fresh is not None:
            self._fresh.unlink(missing_ok=True)


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8") == text
    except (OSError, ValueError):  # such as a link that leads nowhere
        return False


def _differences(there: Mapping[str, Any], answers: Answers) -> Iterator[str]:
    for section, keys in answers.items():
        if section == "tables":
            if keys and not any(_holds(table, keys) for table in there.get("tables", [])):
                yield f"it has no such table {keys['name']!r}"
            continue
        found = there.get(section, {})
        for key, wanted in keys.items():
            field = section_fields(section)[key]
            default = None if field.is_required() else field.default
            has = found.get(key, default) if isinstance(found, dict) else found
            if has != wanted:
                yield f"{section}.{key} = {shown(has)}, answered {shown(wanted)}"


def _holds(table: Any, keys: Mapping[str, Any]) -> bool:
    return isinstance(table, dict) and all(table.get(key) == value for key, value in keys.items())


def _elsewhere(path: Path) -> str:
    return f"move it away: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}"


def _unwritable(path: Path, error: OSError) -> SetupError:
    return SetupError(
        f"{path} cannot be written: {error.strerror}",
        next_step=f"name a place that you may write, with --config, or run it with sudo: {path.parent}",
    )
