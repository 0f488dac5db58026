"""The commented example, written from the models, so that it cannot fall behind them.

``python -m syncd.config.example`` prints what `config/syncd.toml` holds.
"""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticUndefined

from syncd.config.report import written
from syncd.config.settings import Settings, section_fields
from syncd.config.tables_section import TableSettings
from syncd.config.values import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from syncd.config.sections import Section

WIDTH = 100
HEAD = """\
# syncd: every key, with its default. What stands after a # without a space has no default, or one that
# depends on the machine: take the # away to set it.
# The shortest file that works has only [source] root; see syncd.minimal.toml.
# Each key can be set by environment too, and the environment wins: SYNCD_SOURCE__ROOT=/srv/images; lists with
# commas or as JSON; all tables together as JSON in SYNCD_TABLES.
# Check with: syncd config check --config FILE
"""
ANSWERED_HEAD = """\
# syncd: what syncd init was told. Every other key stands behind a # without a space, with its default: take the #
# away to set it.
# Each key can be set by environment too, and the environment wins: SYNCD_SOURCE__ROOT=/srv/images.
# Check with: syncd config check --config FILE
"""


def example_toml() -> str:
    """Return the example. It loads as it is, given the folder it names."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        repeated = name == "tables"
        model: Any = TableSettings if repeated else field.annotation
        parts.append(_section(name, model, commented=repeated))
    return "\n".join(parts)


def answered_toml(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the example with some keys set and all others commented out.

    Args:
        answers: The keys by section; "tables" holds those of one table.
    """
    parts = [ANSWERED_HEAD]
    for name, field in Settings.model_fields.items():
        repeated = name == "tables"
        model: Any = TableSettings if repeated else field.annotation
        given = answers.get(name, {})
        parts.append(_section(name, model, commented=repeated and not given, given=given))
    return "\n".join(parts)


def _section(name: str, model: type[Section], *, commented: bool, given: Mapping[str, Any] | None = None) -> str:
    header = f"[[{name}]]" if name == "tables" else f"[{name}]"
    lines = [_comment(model.heading), f"#{header}" if commented else header]
    for key, field in section_fields(name).items():
        if given is not None and key in given:
            pair = f"{key} = {shown(given[key])}"
        else:
            pair = _pair(name, key, field, commented=commented or given is not None)
        lines += ["", _comment(field.description or ""), pair]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _pair(section: str, key: str, field: FieldInfo, *, commented: bool) -> str:
    if field.examples:
        value, off = field.examples[0], commented or not field.is_required()
    else:
        value, off = field.default, commented or field.default is None
    text = '"…"' if value in (None, PydanticUndefined) else _laid_out(shown(written((section, key), value)), value)
    pair = f"{key} = {text}"
    return textwrap.indent(pair, "#") if off else pair


def _laid_out(text: str, value: Any) -> str:
    if not isinstance(value, tuple) or len(text) <= WIDTH // 2:
        return text
    inner = textwrap.fill(text[1:-1] + ",", WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"[\n{inner}\n]"


if __name__ == "__main__":
    sys.stdout.write(example_toml())
