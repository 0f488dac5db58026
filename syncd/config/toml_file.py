"""Reading the configuration file: the TOML text, its values, the line of each, and how open the file is to others."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.config.faults import MASK, ConfigFault, clipped, value_text
from syncd.config.layers import Layer, Place
from syncd.config.lines import line_index
from syncd.config.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024  # no configuration is larger; a device or a data set given by mistake is

_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_BEGINS = re.compile(r"\s*(\[|[\w.\"' -]+=)")
_PLAIN_KEY = re.compile(r"[\w.-]+\s*")
_SECRET_WORD = re.compile("secret|passw|token|credential|access|url", re.IGNORECASE)
_LONG_STRING = re.compile("\"\"\"|'''")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """What a configuration file held."""

    layer: Layer
    faults: list[ConfigFault]
    private: bool  # nobody but its owner may read it


def read_toml(path: Path) -> TomlFile:
    """Read a configuration file. A file that cannot be read or parsed gives an empty layer and one fault."""
    try:
        data, mode = _read(path)
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        values = tomllib.loads(text)
    except _UnfitFileError as error:
        return _refused(path, str(error))
    except OSError as error:
        return _refused(path, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        return _refused(path, "must be UTF-8 text", line=data.count(b"\n", 0, error.start) + 1)
    except RecursionError:
        return _refused(path, "is nested too deeply")
    except tomllib.TOMLDecodeError as error:
        return TomlFile(Layer(), [_syntax_fault(path, text, error)], private=True)
    places = {loc: Place(str(path), line, f"{path.name}:{line}") for loc, line in line_index(text).items()}
    layer = Layer(values, places)
    return TomlFile(layer, _shape_faults(layer), private=not mode & (stat.S_IRWXG | stat.S_IRWXO))


class _UnfitFileError(Exception):
    """The path names something that no configuration can be in."""


def _read(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _UnfitFileError("is larger than 1 MiB: this cannot be a configuration")
    return data, status.st_mode


def _refused(path: Path, rule: str, *, line: int | None = None) -> TomlFile:
    return TomlFile(Layer(), [ConfigFault(file=str(path), line=line, key="", rule=rule)], private=True)


def _syntax_fault(path: Path, text: str, error: tomllib.TOMLDecodeError) -> ConfigFault:
    match, lines = _POSITION.fullmatch(str(error)), text.rstrip().split("\n")
    said, line, column = match.groups() if match else (str(error), None, None)
    number = min(int(line), len(lines)) if line else len(lines)
    where = f"column {column}" if column else "at the end"
    quoted = clipped(_masked_line(lines, number))
    return ConfigFault(file=str(path), line=number, key="", rule=f"not valid TOML, {where}: {said}: {quoted}")


def _masked_line(lines: list[str], number: int) -> str:
    """Return a line of a text that could not be parsed, without any secret that may stand in it.

    Where strings begin and end is not known here, so more is masked than must be.
    """
    beginning = next((lines[at] for at in range(number - 1, -1, -1) if _BEGINS.match(lines[at])), "")
    line = lines[number - 1].strip()
    in_long_secret = any(_SECRET_WORD.search(text) and _LONG_STRING.search(text) for text in lines[:number])
    if in_long_secret or _SECRET_WORD.search(beginning) or _SECRET_WORD.search(line):
        name, equals, _ = line.partition("=")
        return f"{name}{equals} {MASK}" if equals and _PLAIN_KEY.fullmatch(name) else MASK
    return line


def _shape_faults(layer: Layer) -> list[ConfigFault]:
    """Refuse, and take out, sections that are no tables: laid over others, they would vanish unseen."""
    faults = []
    for section in [name for name in layer.values if name in Settings.model_fields]:
        found = layer.values[section]
        if section == "tables":
            fits, rule = isinstance(found, list), "must be written [[tables]], with two brackets"
        else:
            fits, rule = isinstance(found, dict), f"must be written [{section}], with one pair of brackets"
        if not fits:
            place = layer.places[section,]
            shown = value_text(section, found)
            faults.append(ConfigFault(file=place.file, line=place.line, key=section, rule=rule, value=shown))
            del layer.values[section]
    return faults
