"""The types of single values, with the unit or the special word each takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from syncd.config import rules

OFF = "off"  # the word that turns a snapshot trigger off; its value is None
DAY_SECONDS = 86_400
_SHORT_DIGITS = 4  # hex digits of TOML's short escape

_SIZE_SCHEMA = WithJsonSchema({"type": ["integer", "string"], "examples": ["256MiB"]})


def _off_is_none(value: object) -> object:
    if isinstance(value, str):
        if value == OFF:
            return None
        raise ValueError(f'must be a number, or "{OFF}"')
    return value


def _off_or(kind: str, **bounds: float) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind, **bounds}, {"const": OFF}]})


def _between(low: int, high: int) -> AfterValidator:
    def check(size: int) -> int:
        if not low <= size <= high:
            raise ValueError(f"must lie between {rules.format_size(low)} and {rules.format_size(high)}")
        return size

    return AfterValidator(check)


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


def _path_text(value: object) -> object:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("must not be empty")
        if "\0" in value:
            raise ValueError("must not contain a NUL character")
    return value


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path: its home folder is not known here")
    return path


def _secret_text(value: object) -> object:
    """Refuse a secret that was cut or pasted badly; a signature with it could only fail."""
    if isinstance(value, str) and (not value.isascii() or not value.isprintable() or " " in value):
        raise ValueError("must be one line of ASCII text without spaces")
    return value


Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Percent = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=100)]
Count = Annotated[int, Field(strict=True, ge=0)]
Switch = Annotated[bool, Field(strict=True)]
SecondsOrOff = Annotated[
    Annotated[Seconds, Field(gt=0, le=30 * DAY_SECONDS)] | None,
    BeforeValidator(_off_is_none),
    _off_or("number", exclusiveMinimum=0, maximum=30 * DAY_SECONDS),
]
CountOrOff = Annotated[
    Annotated[int, Field(strict=True, ge=1)] | None, BeforeValidator(_off_is_none), _off_or("integer", minimum=1)
]
BatchSize = Annotated[
    int, Field(strict=True), BeforeValidator(rules.parse_size), _between(1024, 16 * 1024**3), _SIZE_SCHEMA
]
ObjectSize = Annotated[
    int, Field(strict=True), BeforeValidator(rules.parse_size), _between(1, 5 * 1024**3), _SIZE_SCHEMA
]
CacheSize = Annotated[
    int, Field(strict=True), BeforeValidator(rules.parse_size), _between(1024**2, 1024**5), _SIZE_SCHEMA
]
AbsolutePath = Annotated[Path, BeforeValidator(_path_text), AfterValidator(_absolute)]
OptionalPath = Annotated[AbsolutePath | None, BeforeValidator(_blank_is_none)]
OptionalSecret = Annotated[Annotated[SecretStr, BeforeValidator(_secret_text)] | None, BeforeValidator(_blank_is_none)]
SecretAddress = Annotated[
    Annotated[SecretStr, BeforeValidator(rules.web_address)] | None, BeforeValidator(_blank_is_none)
]
CommandLine = Annotated[tuple[str, ...], AfterValidator(rules.command_line)]
Pattern = Annotated[str, AfterValidator(rules.pattern)]
Repository = Annotated[str, AfterValidator(rules.repository_name)]
Branch = Annotated[str, AfterValidator(rules.branch_name)]
TableName = Annotated[str, AfterValidator(rules.table_name)]
Column = Annotated[str, AfterValidator(rules.column_name)]
OptionalColumn = Annotated[Column | None, BeforeValidator(_blank_is_none)]
Prefix = Annotated[str, AfterValidator(rules.prefix)]
Endpoint = Annotated[str, AfterValidator(rules.endpoint)]
HttpAddress = Annotated[str, AfterValidator(rules.http_address)]
StorageNamespace = Annotated[str, AfterValidator(rules.storage_namespace)]
AccessKeyId = Annotated[Annotated[str, AfterValidator(rules.access_key_id)] | None, BeforeValidator(_blank_is_none)]
Cron = Annotated[str, AfterValidator(rules.cron_expression)]
TimeZone = Annotated[str, AfterValidator(rules.time_zone)]
TagTemplate = Annotated[str, AfterValidator(rules.tag_template)]
OptionalText = Annotated[Column | None, BeforeValidator(_blank_is_none)]
ImagePattern = Annotated[str, AfterValidator(rules.image_pattern)]
ListenAddress = Annotated[str, AfterValidator(rules.listen_address)]


def kinds(annotation: Any) -> set[type]:
    """Return the plain types an annotation is made of: ``{float, NoneType}`` for ``SecondsOrOff``."""
    if isinstance(annotation, type) and not get_args(annotation):
        return {annotation}
    if getattr(annotation, "__metadata__", None) is not None:
        return kinds(get_args(annotation)[0])
    origin = getattr(annotation, "__origin__", None)
    if isinstance(origin, type):
        return {origin}
    return {kind for part in get_args(annotation) if not isinstance(part, str) for kind in kinds(part)}


def shown(value: object) -> str:
    """Return a value as TOML would write it; what is unset or secret shows as such."""
    if value is None:
        return "(not set)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(shown(part) for part in value) + "]"
    if isinstance(value, (str, Path)):
        return toml_string(os.fspath(value))
    return str(value)


def toml_string(text: str) -> str:
    """Return a text as a TOML basic string; what cannot be printed is escaped."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def printable(text: str) -> str:
    """Return a text in which line breaks, control characters and bytes that are no UTF-8 are escaped."""
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return f"\\u{ord(char):04X}" if len(f"{ord(char):x}") <= _SHORT_DIGITS else f"\\U{ord(char):08X}"
