"""Where values come from: one layer for each source, with the place of every value.

A layer is a source for pydantic-settings, which lays the layers over each other, the first on top.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import PydanticBaseSettingsSource

from syncd.config.faults import ConfigFault, value_text
from syncd.config.settings import Settings, section_fields
from syncd.config.values import kinds
from syncd.presence import expanded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo

    from syncd.config.lines import Loc

ENVIRONMENT = "environment"
VARIABLE_PREFIX = "SYNCD_"
RESERVED_VARIABLES = frozenset({"SYNCD_CONFIG", "SYNCD_LAKEFS_BINARY", "SYNCD_LAKECTL_BINARY"})

# what Kubernetes sets in each pod when a Service is named "syncd"; none of it can be a key
_KUBERNETES = re.compile(r"SYNCD_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands."""

    file: str  # a path, or "environment"
    line: int | None
    origin: str  # as `config show` says it: "syncd.toml:12", "environment SYNCD_SOURCE__ROOT"


class Layer(PydanticBaseSettingsSource):
    """The values of one source, and the place of each.

    Args:
        values: Section, then key, then value; "tables" holds a list.
        places: By the way from the top: ("source", "root"). Also of whole sections, where the source has them.
    """

    def __init__(self, values: dict[str, Any] | None = None, places: Mapping[Loc, Place] | None = None) -> None:
        super().__init__(Settings)
        self.values: dict[str, Any] = values or {}
        self.places: dict[Loc, Place] = dict(places or {})

    def __call__(self) -> dict[str, Any]:
        """Return the values; pydantic-settings calls this."""
        return deepcopy(self.values)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return one section; part of the interface of a source."""
        return self.values.get(field_name), field_name, False

    def get(self, section: str, key: str) -> Any:
        """Return a value, or None where this layer has none, or an empty one."""
        found = self.values.get(section)
        return (found.get(key) or None) if isinstance(found, dict) else None

    def put(self, section: str, key: str, value: Any, place: Place) -> None:
        """Set a value and its place."""
        self.values.setdefault(section, {})[key] = value
        self.places[section, key] = place

    def drop(self, section: str, key: str) -> None:
        """Take a value away, if there is one."""
        found = self.values.get(section)
        if isinstance(found, dict):
            found.pop(key, None)
        self.places.pop((section, key), None)

    def drop_blank(self, section: str, keys: Iterable[str]) -> None:
        """Take away what is set to "": so a variable can stand empty, and the layers below show through."""
        found = self.values.get(section)
        for key in keys:
            if isinstance(found, dict) and found.get(key) == "":
                self.drop(section, key)

    def place(self, loc: Loc) -> Place | None:
        """Return the place of a key, or of the nearest thing around it in this layer that sets it."""
        unit = 1 if loc[:1] == ("tables",) else 2
        if loc[:unit] not in self.places:
            return None
        return next(self.places[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in self.places)

    def sets(self, loc: Loc) -> bool:
        """Whether this layer itself holds a value for a key."""
        found: Any = self.values
        for part in loc:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True


def first_place(layers: Iterable[Layer], loc: Loc) -> Place | None:
    """Return the place in the topmost layer that sets a key."""
    return next((place for layer in layers if (place := layer.place(loc)) is not None), None)


def environment_layer(environ: Mapping[str, str]) -> tuple[Layer, list[ConfigFault]]:
    """Read every ``SYNCD_SECTION__KEY``; a variable that names no key is a fault."""
    layer, faults = Layer(), list[ConfigFault]()
    for variable in sorted(environ):
        if not variable.startswith(VARIABLE_PREFIX) or variable in RESERVED_VARIABLES:
            continue
        loc = _variables().get(variable)
        if loc is not None:
            faults.extend(_read_variable(layer, variable, loc, environ[variable]))
        elif not _KUBERNETES.fullmatch(variable):
            faults.append(_unknown_variable(variable, environ[variable]))
    return layer, faults


def _variables() -> dict[str, Loc]:
    found: dict[str, Loc] = {"SYNCD_TABLES": ("tables",)}
    for section in Settings.model_fields:
        if section != "tables":
            for key in section_fields(section):
                found[f"{VARIABLE_PREFIX}{section}__{key}".upper()] = (section, key)
    return found


def _unknown_variable(variable: str, value: str) -> ConfigFault:
    close = get_close_matches(variable.upper(), [*_variables(), *RESERVED_VARIABLES], n=1)
    suggestion = "SYNCD_TABLES, a JSON list" if variable.startswith("SYNCD_TABLES_") else next(iter(close), None)
    return ConfigFault(
        file=ENVIRONMENT,
        line=None,
        key=variable,
        rule="no key has this name",
        value=value_text(f"{variable} {suggestion}", value, known=False),
        suggestion=suggestion,
    )


def _read_variable(layer: Layer, variable: str, loc: Loc, text: str) -> list[ConfigFault]:
    place = Place(ENVIRONMENT, None, f"{ENVIRONMENT} {variable}")
    try:
        value = _json_list(text) if loc == ("tables",) else _value(section_fields(str(loc[0]))[str(loc[1])], text)
    except json.JSONDecodeError as error:
        rule = f"must be a JSON list: {error.msg} at character {error.pos + 1}"
        return [ConfigFault(file=ENVIRONMENT, line=None, key=variable, rule=rule)]
    except (ValueError, RecursionError):
        rule = "must be a JSON list"
        return [ConfigFault(file=ENVIRONMENT, line=None, key=variable, rule=rule)]
    if loc == ("tables",):
        layer.values["tables"] = value
        layer.places["tables",] = place
    else:
        layer.put(str(loc[0]), str(loc[1]), value, place)
    return []


def _json_list(text: str) -> list[Any]:
    found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError("not a list")  # noqa: TRY004 - one kind of error for the caller
    return found


def _value(field: FieldInfo, text: str) -> Any:
    """Give a variable's text the type its key has; what does not fit stays text, and validation says so."""
    types = kinds(field.annotation)
    if tuple in types:
        as_json = text.lstrip().startswith(('["', "[]"))
        return _json_list(text) if as_json else [part.strip() for part in text.split(",") if part.strip()]
    if bool in types and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        if number in types:
            try:
                return number(text)
            except ValueError:
                continue
    return text


def path_keys(section: str) -> list[str]:
    """Return the keys of a section that hold a path."""
    return [key for key, field in section_fields(section).items() if Path in kinds(field.annotation)]


def resolve_paths(layer: Layer, *, base: Path, home: Path | None) -> None:
    """Make the layer's paths absolute: ~ is ``home``, a relative path starts at ``base``."""
    for section, found in layer.values.items():
        entries = found if isinstance(found, list) else [found]
        for entry in entries:
            for key in path_keys(section) if section in Settings.model_fields and isinstance(entry, dict) else ():
                if isinstance(entry.get(key), str):
                    entry[key] = resolve_path(entry[key], base=base, home=home)


def resolve_path(text: str, *, base: Path, home: Path | None) -> str:
    """Return an absolute path; blank text, and a home folder that is not known, stay as they are."""
    if not text.strip() or "\0" in text:
        return text
    if text == "~" or text.startswith("~/"):
        return str(home / text[2:]) if home else text
    if text.startswith("~"):
        return expanded(text)
    return str(base / text)
