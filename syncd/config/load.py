"""From the files, variables and credentials to one checked tree, with the origin of every value.

Looks at local files only, never at the network. All faults are reported at once.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from syncd.config import rules
from syncd.config.credentials import SECRETS, lend, read_lakectl, settle_secret, systemd_layer
from syncd.config.faults import ConfigFault, FaultyConfigError, key_text
from syncd.config.layers import Layer, Place, environment_layer, first_place, resolve_paths
from syncd.config.locate import default_state_dir, find
from syncd.config.refusals import as_faults
from syncd.config.settings import Settings, section_fields
from syncd.config.table_urls import settle_urls
from syncd.config.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config.lines import Loc

_BLANK_IS_UNSET = [
    *(("lakefs", key) for key in ("endpoint", "access_key_id")),
    *((section, key + suffix) for section, key in SECRETS for suffix in ("", "_file")),
]
_NOT_FOR_OTHERS = (  # to stand in a file they can read
    ("lakefs", "secret_access_key"),
    ("notify", "webhook_secret"),
    ("service", "listen_token"),
)
CALL = "the call"  # the place of what a caller says
_NO_ADDRESS = "default: no address is set here, in LAKECTL_SERVER_ENDPOINT_URL or in ~/.lakectl.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that can be used."""

    settings: Settings
    path: Path | None  # the file it came from; None: from the environment alone
    origins: Mapping[str, str]  # by key, such as "tables[0].csv": "default", "syncd.toml:12", "environment SYNCD_…"


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    reads_only: bool = False,
    said: Mapping[str, Any] = MappingProxyType({}),
) -> Loaded:
    """Read the configuration.

    Args:
        path: The file; None: ``$SYNCD_CONFIG``, ``./syncd.toml`` or ``/etc/syncd/syncd.toml``, the first there is.
            Without any, the environment alone must do.
        environ: The environment variables; None: this process's.
        cwd: Where relative paths start that do not stand in a file; None: the current folder.
        reads_only: It is for reading snapshots: without ``source.root`` it will do.
        said: Keys that the caller says, of ``[lakefs]`` or as "service.listen"; they come before all others.

    Raises:
        FaultyConfigError: Something is wrong; it lists all that is.
    """
    environ = os.environ if environ is None else environ
    cwd = _current() if cwd is None else cwd
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    path = find(path, environ=environ, cwd=cwd)
    file, faults, private = Layer(), list[ConfigFault](), True
    if path is not None:
        read = read_toml(path)
        file, faults, private = read.layer, [*read.faults], read.private
        resolve_paths(file, base=path.parent, home=home)
        faults += settle_urls(file, environ, base=path.parent, home=home, private=private)
    environment, found = environment_layer(environ)
    resolve_paths(environment, base=cwd, home=home)
    found += settle_urls(environment, environ, base=cwd, home=home, private=True)
    systemd, refused = systemd_layer(environ)
    faults += [*found, *refused, *_exposed_secrets(file, path, private=private)]
    layers = [_said(said, cwd, home), systemd, environment, file]
    for layer in layers:
        for section, key in _BLANK_IS_UNSET:
            layer.drop_blank(section, [key])
    for section, key in SECRETS:
        faults += settle_secret(layers, environ, section, key)
    lent, found = _lakectl_layers(layers, environ, home, cwd)
    faults += found
    computed = Layer({"source": {"root": os.devnull} if reads_only else {}})  # a missing section is a missing root
    computed.put("service", "state_dir", *default_state_dir(environ, home=home))
    layers += [*lent, computed]
    return _validate(layers, faults, path)


def _current() -> Path:
    try:
        return Path.cwd()
    except OSError:  # the folder it was started in is gone
        return Path("/")


def _said(said: Mapping[str, Any], cwd: Path, home: Path | None) -> Layer:
    layer = Layer()
    for key, value in said.items():
        section, _, name = key.rpartition(".")
        place = Place(CALL, None, CALL)
        layer.put(section or "lakefs", name, os.fspath(value) if isinstance(value, Path) else value, place)
    resolve_paths(layer, base=cwd, home=home)
    return layer


def _exposed_secrets(file: Layer, path: Path | None, *, private: bool) -> list[ConfigFault]:
    rule = f"needs this file to be readable by its owner alone: chmod 600 {shlex.quote(str(path))}"
    return [
        ConfigFault(file=file.places[loc].file, line=file.places[loc].line, key=key_text(loc), rule=rule)
        for loc in _NOT_FOR_OTHERS
        if not private and loc in file.places and file.get(*loc)
    ]


def _lakectl_layers(
    layers: list[Layer], environ: Mapping[str, str], home: Path | None, cwd: Path
) -> tuple[list[Layer], list[ConfigFault]]:
    """Return what lakectl's environment and file add, where an address or a key is missing."""
    endpoint = next((value for layer in layers if (value := layer.get("lakefs", "endpoint"))), None)
    has = [any(layer.get("lakefs", key) for layer in layers) for key in ("access_key_id", "secret_access_key")]
    if endpoint == rules.EMBEDDED or (endpoint and all(has)):
        return [], []
    lakectl = read_lakectl(environ, home=home, cwd=cwd)
    environment = lend(lakectl.environment, layers)
    lent = [environment, lend(lakectl.file, [*layers, environment])]
    if not endpoint and not any(layer.get("lakefs", "endpoint") for layer in lent):
        return [], lakectl.faults  # keys without an address are of no use
    return lent, lakectl.faults


def _validate(layers: list[Layer], faults: list[ConfigFault], path: Path | None) -> Loaded:
    refused: list[Any] = []
    settings = None
    try:
        settings = Settings(_build_sources=(tuple(layers), {}))
    except ValidationError as error:
        refused = error.errors(include_url=False)
    faults = [*faults, *as_faults(refused, layers, path=path, known=faults)]
    if settings is None or faults:  # raised out here, so that no traceback carries the values
        raise FaultyConfigError(faults, path=path)
    return Loaded(settings=settings, path=path, origins=_origins(settings, layers))


def _origins(settings: Settings, layers: list[Layer]) -> dict[str, str]:
    origins = {}
    for loc in leaves(settings):
        place = first_place([layer for layer in layers if layer.sets(loc)], loc)
        no_address = loc == ("lakefs", "endpoint") and place is None
        origins[key_text(loc)] = place.origin if place else _NO_ADDRESS if no_address else "default"
    return origins


def leaves(settings: Settings) -> list[Loc]:
    """Return the way to every key, in the order of the sections."""
    found: list[Loc] = []
    for section in Settings.model_fields:
        if section == "tables":
            places: list[Loc] = [("tables", position) for position in range(len(settings.tables))]
        else:
            places = [(section,)]
        found += [(*place, key) for place in places for key in section_fields(section)]
    return found
