"""Secrets from where they belong: systemd credentials, files of their own, lakectl's environment and file.

Whatever is read here is a secret: no fault and no origin repeats any of it.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]  # comes with lakefs, without stubs

from syncd.config.faults import ConfigFault
from syncd.config.layers import ENVIRONMENT, Layer, Place
from syncd.presence import is_there

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"  # set by systemd for units with LoadCredential=
SECRETS = (  # each can be given by KEY_file too
    ("lakefs", "secret_access_key"),
    ("notify", "webhook_url"),
    ("notify", "webhook_secret"),
    ("notify", "ping_url"),
    ("service", "listen_token"),
)
SYSTEMD_CREDENTIALS = {loc: "_".join(loc) for loc in (("lakefs", "access_key_id"), *SECRETS)}
SECRET_MOUNT = Path("/run/secrets")  # containers mount secrets here, with a mode of their own
MAX_SECRET_BYTES = 4096
MAX_LAKECTL_BYTES = 1024 * 1024

_LAKECTL_VARIABLES = {
    "endpoint": "LAKECTL_SERVER_ENDPOINT_URL",
    "access_key_id": "LAKECTL_CREDENTIALS_ACCESS_KEY_ID",
    "secret_access_key": "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY",
}
_LAKECTL_FILE_KEYS = {
    "endpoint": ("server", "endpoint_url"),
    "access_key_id": ("credentials", "access_key_id"),
    "secret_access_key": ("credentials", "secret_access_key"),
}


class UnfitSecretError(Exception):
    """A secret's file cannot be used; the text is the rule it breaks."""


def systemd_layer(environ: Mapping[str, str]) -> tuple[Layer, list[ConfigFault]]:
    """Read the credentials systemd hands to the unit, if any."""
    layer, faults = Layer(), list[ConfigFault]()
    folder = environ.get(CREDENTIALS_VARIABLE)
    if not folder:
        return layer, faults
    for (section, key), name in SYSTEMD_CREDENTIALS.items():
        path = Path(folder) / name
        try:
            text = read_secret(path, any_mode=True)
        except FileNotFoundError:
            continue
        except UnfitSecretError as error:
            faults.append(ConfigFault(file=str(path), line=None, key="", rule=str(error)))
        else:
            layer.put(section, key, text, Place(str(path), None, f"systemd credential {name}"))
    return layer, faults


def settle_secret(layers: list[Layer], environ: Mapping[str, str], section: str, key: str) -> list[ConfigFault]:
    """Let the topmost layer that gives a secret, in itself or by a file, be the only one that does.

    Args:
        layers: Topmost first. The secret ends up in the winner under its own key; the others lose theirs.
        environ: Tells where systemd keeps credentials.
        section: Where the secret belongs.
        key: Its key there; the file's is the same with ``_file``.
    """
    faults: list[ConfigFault] = []
    file_key = f"{key}_file"
    giving = [layer for layer in layers if layer.get(section, key) or layer.get(section, file_key)]
    for layer in giving[1:]:
        layer.drop(section, key)
        layer.drop(section, file_key)
    if not giving:
        return faults
    winner = giving[0]
    file = winner.get(section, file_key)
    if not isinstance(file, str):
        return faults
    place = winner.places[section, file_key]
    if winner.get(section, key):
        return [_file_fault(place, section, file_key, f"{key} and {file_key} cannot stand together")]
    try:
        secret = read_secret(Path(file), any_mode=below_trusted_folder(Path(file), environ))
    except FileNotFoundError:
        faults.append(_file_fault(place, section, file_key, f"{file} does not exist"))
    except UnfitSecretError as error:
        faults.append(_file_fault(place, section, file_key, f"{file} {error}"))
    else:
        winner.put(section, key, secret, Place(place.file, place.line, f"{file} ({place.origin})"))
    return faults


def read_secret(path: Path, *, any_mode: bool) -> str:
    """Return a secret from a file of its own, without the line break at its end.

    Args:
        path: The file.
        any_mode: Whether its mode is someone else's business: a folder made for secrets guards it.

    Raises:
        FileNotFoundError: There is no such file.
        UnfitSecretError: It cannot be read, is open to others, or holds no secret.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_SECRET_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UnfitSecretError(f"cannot be read: {getattr(error, 'strerror', None) or 'not a path'}") from None
    if not any_mode and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnfitSecretError(f"must be readable by its owner alone: chmod 600 {shlex.quote(str(path))}")
    text = data.decode("ascii", errors="replace").strip()
    if not text or len(data) > MAX_SECRET_BYTES or not text.isascii() or not text.isprintable() or " " in text:
        raise UnfitSecretError("must hold one secret and nothing else, as one line of ASCII text")
    return text


def _file_fault(place: Place, section: str, file_key: str, rule: str) -> ConfigFault:
    return ConfigFault(file=place.file, line=place.line, key=f"{section}.{file_key}", rule=rule)


def below_trusted_folder(path: Path, environ: Mapping[str, str]) -> bool:
    """Return whether a file lies in a folder made for secrets, which guards it whatever its mode."""
    folders = [SECRET_MOUNT, *(Path(folder) for folder in [environ.get(CREDENTIALS_VARIABLE)] if folder)]
    try:
        real = path.resolve()
        return any(real.is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, ValueError, RuntimeError):
        return False


@dataclass(frozen=True, slots=True)
class Lakectl:
    """What lakectl's environment and file offer."""

    environment: Layer
    file: Layer
    faults: list[ConfigFault]
    path: Path | None  # the file that was read; None: there is none


def read_lakectl(environ: Mapping[str, str], *, home: Path | None, cwd: Path) -> Lakectl:
    """Read what every lakeFS client understands, to fall back to."""
    environment = Layer()
    for key, variable in _LAKECTL_VARIABLES.items():
        if text := environ.get(variable):
            environment.put("lakefs", key, text, Place(ENVIRONMENT, None, f"{ENVIRONMENT} {variable}"))
    named = environ.get("LAKECTL_CONFIG_FILE")
    path = cwd / named if named else home / ".lakectl.yaml" if home else None
    if path is None or not (named or is_there(path)):
        return Lakectl(environment, Layer(), [], None)
    layer = Layer()
    try:
        found = _safe_yaml(path)
    except UnfitSecretError as error:
        return Lakectl(environment, layer, [ConfigFault(file=str(path), line=None, key="", rule=str(error))], path)
    shown = str(path) if named else "~/.lakectl.yaml"
    for key, (section, name) in _LAKECTL_FILE_KEYS.items():
        values = found.get(section)
        value = values.get(name) if isinstance(values, dict) else None
        if isinstance(value, str) and value:
            layer.put("lakefs", key, value, Place(str(path), None, shown))
    return Lakectl(environment, layer, [], path)


def _safe_yaml(path: Path) -> dict[Any, Any]:
    """Return a YAML file's top mapping. Its text may hold a secret, so no part of it is ever repeated."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LAKECTL_BYTES + 1)
        found = yaml.safe_load(data) if len(data) <= MAX_LAKECTL_BYTES else None
    except OSError as error:
        raise UnfitSecretError(f"cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UnfitSecretError(f"is not valid YAML{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UnfitSecretError("is not valid YAML") from None
    if not isinstance(found, dict):
        raise UnfitSecretError("must be a YAML mapping, as lakectl writes it")
    return found


def lend(lakectl: Layer, layers: list[Layer]) -> Layer:
    """Return what a fallback layer adds to those above it, in one piece that fits together.

    A secret belongs to its key id: where another id was chosen above, the secret is not lent.
    """
    lent = Layer()
    own_id = lakectl.get("lakefs", "access_key_id")
    chosen_id = next((found for layer in layers if (found := layer.get("lakefs", "access_key_id"))), None)
    for key in _LAKECTL_VARIABLES:
        value = lakectl.get("lakefs", key)
        taken = any(layer.get("lakefs", key) for layer in layers)
        foreign = key == "secret_access_key" and own_id and chosen_id and own_id != chosen_id
        if value and not taken and not foreign:
            lent.put("lakefs", key, value, lakectl.places["lakefs", key])
    return lent
