"""The addresses of databases: from files of their own, and never where others may read the password in them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.config.credentials import UnfitSecretError, below_trusted_folder, read_secret
from syncd.config.faults import ConfigFault, key_text
from syncd.config.layers import ENVIRONMENT, Layer, resolve_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncd.config.lines import Loc

_SQLITE = "sqlite:///"


def settle_urls(
    layer: Layer, environ: Mapping[str, str], *, base: Path, home: Path | None, private: bool
) -> list[ConfigFault]:
    """Read each ``url_file`` into its ``url``, and make the path of an SQLite file absolute.

    Args:
        layer: Whose tables are settled, in place.
        environ: Tells where systemd keeps credentials.
        base: Where relative paths start.
        home: What ~ stands for.
        private: Whether only its owner can read what the layer came from.
    """
    faults: list[ConfigFault] = []
    for position, table in _tables(layer):
        at: Loc = ("tables", position)
        url, file = table.get("url"), table.get("url_file")
        if url and file:
            faults.append(_fault(layer, (*at, "url_file"), "url and url_file cannot stand together"))
        elif isinstance(file, str) and file:
            faults += _read(layer, at, table, environ)
        elif isinstance(url, str) and not private and _has_password(url):
            place = layer.place((*at, "url"))
            rule = "holds a password, which needs this file to be readable by its owner alone: chmod 600 "
            faults.append(_fault(layer, (*at, "url"), rule + shlex.quote(place.file if place else "")))
        found = table.get("url")
        if isinstance(found, str) and found.startswith(_SQLITE):
            table["url"] = _SQLITE + resolve_path(found.removeprefix(_SQLITE), base=base, home=home)
    return faults


def _tables(layer: Layer) -> Iterator[tuple[int, dict[str, Any]]]:
    tables = layer.values.get("tables")
    for position, table in enumerate(tables if isinstance(tables, list) else ()):
        if isinstance(table, dict):
            yield position, table


def _read(layer: Layer, at: Loc, table: dict[str, Any], environ: Mapping[str, str]) -> list[ConfigFault]:
    file = Path(table["url_file"])
    try:
        table["url"] = read_secret(file, any_mode=below_trusted_folder(file, environ))
    except FileNotFoundError:
        return [_fault(layer, (*at, "url_file"), f"{file} does not exist")]
    except UnfitSecretError as error:
        return [_fault(layer, (*at, "url_file"), f"{file} {error}")]
    return []


def _fault(layer: Layer, loc: Loc, rule: str) -> ConfigFault:
    place = layer.place(loc)
    return ConfigFault(
        file=place.file if place else ENVIRONMENT, line=place.line if place else None, key=key_text(loc), rule=rule
    )


def _has_password(url: str) -> bool:
    """Return whether there may be one: in an address that is badly quoted, too."""
    return ":" in url.partition("://")[2].rpartition("@")[0]
