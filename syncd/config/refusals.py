"""What validation refused, said as faults: at which place, in which words, with which suggestion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.config.faults import ConfigFault, key_text, nearest_key, value_text
from syncd.config.layers import ENVIRONMENT, VARIABLE_PREFIX, Layer, Place, first_place
from syncd.config.locate import LOCAL_NAME, SYSTEM_FILE
from syncd.config.settings import section_fields

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from syncd.config.lines import Loc

_WORDS = {
    "extra_forbidden": "unknown key",
    "tuple_type": "must be a list",
    "model_type": "must be a table of keys",
    "model_attributes_type": "must be a table of keys",
    "bool_type": "must be true or false",
    "path_type": "must be a path, as text",
    "too_short": "must not be empty",
}


def as_faults(
    errors: Sequence[Any], layers: Sequence[Layer], *, path: Path | None, known: Sequence[ConfigFault]
) -> list[ConfigFault]:
    """Return what is new in a validation's errors.

    Args:
        errors: As pydantic lists them.
        layers: Where the values came from, topmost first.
        path: The configuration file, if there is one.
        known: Faults found before; what only follows from them is left out.
    """
    reported = {fault.key for fault in known}
    unread = any(not fault.key and fault.file == str(path) for fault in known)
    return [
        _as_fault(error, layers, path)
        for error in errors
        if key_text(error["loc"]) not in reported
        and not (error["type"] == "missing" and (unread or str(error["loc"][0]) in reported))
    ]


def _as_fault(error: Any, layers: Sequence[Layer], path: Path | None) -> ConfigFault:
    loc: Loc = tuple(error["loc"])
    missing, unknown = error["type"] == "missing", error["type"] == "extra_forbidden"
    place = first_place(layers, loc) or first_place(layers, loc[:1])
    name = next((part for part in reversed(loc) if isinstance(part, str)), "")
    return ConfigFault(
        file=_file(place) if place else str(path) if path else ENVIRONMENT,
        line=place.line if place else None,
        key=key_text(loc),
        rule=_missing_rule(loc, path) if missing else _in_words(error),
        value=None if missing else value_text(name, error["input"], known=not unknown),
        suggestion=nearest_key(loc) if unknown else None,
    )


def _file(place: Place) -> str:
    return place.origin if place.file == ENVIRONMENT else place.file


def _missing_rule(loc: Loc, path: Path | None) -> str:
    section, name = str(loc[0]), str(loc[-1])
    first_sentence = (section_fields(section)[name].description or "").partition(". ")[0].rstrip(".")
    rule = f"is missing: {first_sentence[:1].lower()}{first_sentence[1:]}"
    if section != "tables":
        rule += f"; set {name} in [{section}], or {VARIABLE_PREFIX}{section.upper()}__{name.upper()}"
    if path is None:
        rule += f" (no configuration file: looked for ./{LOCAL_NAME} and {SYSTEM_FILE})"
    return rule


def _in_words(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return _WORDS.get(error["type"], message)
