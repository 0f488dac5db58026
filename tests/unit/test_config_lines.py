from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.lines import Loc, line_index
from syncd.config.values import toml_string

SCALARS = ("1", "-0.5", "true", "inf", "1979-05-27 07:32:00", "0x1F", '""', "''", '"a # ] } , = b"', "'c:\\d'")
LONG_STRINGS = (
    '"""\nfirst # no comment\n[no.header]\n"""',
    "'''\nkey = 'no key'\n'''",
    '"""ends with quotes"""""',
    "'''ends with a quote''''",
    '"""a \\\n  joined line \\""" still inside"""',
    '""""""',
)
NAMES = st.text(st.sampled_from("ab-_.#=[]\"'\\ \néü"), max_size=4)


@dataclass
class Writer:
    """Writes TOML and notes, on its own, on which line each thing begins."""

    text: str = ""
    lines: dict[Loc, int] = field(default_factory=dict)
    used: set[Loc] = field(default_factory=set)

    def put(self, text: str) -> None:
        self.text += text

    def note(self, path: Loc) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def fresh(self, table: Loc, name: str) -> str:
        while (*table, name) in self.used:
            name += "x"
        self.used.add((*table, name))
        return name


def written_key(draw: st.DrawFn, name: str) -> str:
    if name and all(char.isascii() and (char.isalnum() or char in "-_") for char in name) and draw(st.booleans()):
        return name
    if draw(st.booleans()) and not set(name) & set("'\n"):
        return f"'{name}'"
    return toml_string(name)


def space(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(("", " ", "\t")))


def blank(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(("", " ", "\n", "\n\n", " # ] } = [x]\n", "# '''\n")))


def write_value(draw: st.DrawFn, out: Writer, path: Loc, depth: int) -> None:
    kind = draw(st.sampled_from(("scalar", "long", "array", "inline") if depth else ("scalar",)))
    if kind == "array":
        out.put("[" + blank(draw))
        for position in range(draw(st.integers(0, 3))):
            out.note((*path, position))
            write_value(draw, out, (*path, position), depth - 1)
            out.put(blank(draw) + "," + blank(draw))
        out.put("]")
    elif kind == "inline":
        out.put("{" + space(draw))
        for position in range(draw(st.integers(0, 2))):
            out.put("," + space(draw) if position else "")
            write_pair(draw, out, path, depth - 1)
        out.put("}")
    else:
        out.put(draw(st.sampled_from(SCALARS if kind == "scalar" else LONG_STRINGS)))


def write_pair(draw: st.DrawFn, out: Writer, table: Loc, depth: int) -> None:
    names = [out.fresh(table, draw(NAMES))]
    if draw(st.booleans()):
        names.append(draw(NAMES))
    path = table
    keys = []
    for name in names:
        path = (*path, name)
        out.note(path)
        keys.append(written_key(draw, name))
    out.put(f"{space(draw)}.{space(draw)}".join(keys) + space(draw) + "=" + space(draw))
    write_value(draw, out, path, depth)


def write_pairs(draw: st.DrawFn, out: Writer, table: Loc) -> None:
    for _ in range(draw(st.integers(0, 3))):
        out.put(blank(draw))
        write_pair(draw, out, table, 2)
        out.put(space(draw) + draw(st.sampled_from(("\n", " # [[x]]\n"))))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Loc, int]]:
    out = Writer()
    write_pairs(draw, out, ())
    for _ in range(draw(st.integers(0, 4))):
        name = out.fresh((), draw(NAMES))
        key = written_key(draw, name)
        for position in range(draw(st.integers(0, 2))):
            out.note((name,))
            out.note((name, position))
            out.put(f"[[{space(draw)}{key}{space(draw)}]]{space(draw)}\n")
            write_pairs(draw, out, (name, position))
            below = out.fresh((name, position), draw(NAMES))
            out.note((name, position, below))
            out.put(f"[{key}{space(draw)}.{space(draw)}{written_key(draw, below)}] # of this element\n")
            write_pairs(draw, out, (name, position, below))
        name = out.fresh((), draw(NAMES))
        out.note((name,))
        out.put(f"[{space(draw)}{written_key(draw, name)}{space(draw)}]\n")
        write_pairs(draw, out, (name,))
    return out.text, out.lines


def every_path(value: Any, path: Loc = ()) -> set[Loc]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path, *(found for name, child in children for found in every_path(child, (*path, name)))}


@given(documents())
def test_every_key_of_any_document_is_found_on_its_own_line(document: tuple[str, dict[Loc, int]]) -> None:
    text, lines = document
    assert every_path(tomllib.loads(text)) - {()} == set(lines)
    assert line_index(text) == lines
    assert line_index(text.replace("\n", "\r\n")) == lines


def test_a_table_is_where_it_is_spelled_out_even_after_a_deeper_one() -> None:
    assert line_index("[a.b]\nx = 1\n[a]\ny = 2\n") == {("a",): 3, ("a", "b"): 1, ("a", "b", "x"): 2, ("a", "y"): 4}


def test_a_header_below_an_array_of_tables_belongs_to_its_last_element() -> None:
    lines = line_index("[[a]]\n[[a.b]]\n[[a]]\n[[a.b]]\nx = 1\n[[a.b]]\n")
    assert lines["a", 1, "b", 0, "x"] == 5
    assert lines["a", 1, "b", 1] == 6
    assert lines["a", 0, "b", 0] == 2


@pytest.mark.parametrize("text", ["", "\n# only a comment", "   "])
def test_a_document_without_keys_has_no_lines(text: str) -> None:
    assert line_index(text) == {}
