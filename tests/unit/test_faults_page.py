"""The page of faults cites tests that exist, and at least one for each fault."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "tests" / "FAULTS.md").read_text("utf-8")
TITLES = ["Faults of the world around it", "Traps of lakeFS"]
HEAD = "| what happens | what syncd does | shown by |\n|---|---|---|\n"
CITED = "tests/unit/test_faults_page.py::test_each_line_cites_tests_that_exist"


def tables(page: str) -> dict[str, list[str]]:
    """Return the lines below the head of each table, by its title."""
    found = re.findall(rf"^## (.+)\n\n{re.escape(HEAD)}((?:\|.*\n)*)", page, re.MULTILINE)
    return {title: lines.splitlines() for title, lines in found}


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of a file's tests, those in classes included; none if there is no such file."""
    file = ROOT / path
    if not path.startswith("tests/") or not file.is_file():
        return frozenset()
    top = ast.parse(file.read_text("utf-8")).body
    inner = [node for found in top if isinstance(found, ast.ClassDef) for node in found.body]
    names = {node.name for node in [*top, *inner] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(name for name in names if name.startswith("test_"))


def faults(line: str) -> list[str]:
    """Return what is wrong with a line of a table."""
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if len(cells) != 3 or not all(cells):
        return [f"not three cells: {line}"]
    happens, _, shown_by = cells
    cited = re.findall(r"`([^`]*)`", shown_by)
    if not cited or "::" in re.sub(r"`[^`]*`", "", shown_by):
        return [f"{happens}: cites no test, or not in backticks"]
    split = [test.partition("::") for test in cited]
    return [f"{happens}: there is no {path}::{name}" for path, _, name in split if name not in names_in(path)]


def test_each_line_cites_tests_that_exist() -> None:
    found = [fault for lines in tables(PAGE).values() for line in lines for fault in faults(line)]
    assert not found, "\n".join(["", *found])


def test_no_line_is_outside_of_the_two_tables() -> None:
    inside = tables(PAGE)
    assert list(inside) == TITLES
    assert all(inside.values())
    outside = len(inside) * HEAD.count("\n")
    assert len(re.findall(r"^\s*\|", PAGE, re.MULTILINE)) == outside + sum(map(len, inside.values()))


def test_nothing_happens_twice() -> None:
    happens = [line.split("|")[1].strip() for lines in tables(PAGE).values() for line in lines]
    assert sorted(happens) == sorted(set(happens))


@pytest.mark.parametrize(
    "shown_by",
    [
        "",
        "a test",
        CITED,
        f"`{CITED}`, {CITED}",
        f"`{CITED}_not`",
        f"`{CITED}`, `{CITED}_not`",
        f"`{CITED}[a]`",
        "`tests/unit/test_faults_page.py`",
        "`tests/unit/test_faults_page.py::faults`",
        "`tests/unit/test_no_such_file.py::test_each_line_cites_tests_that_exist`",
    ],
)
def test_a_line_without_a_test_that_exists_is_found(shown_by: str) -> None:
    assert faults(f"| it rains | it waits | `{CITED}` |") == []
    assert len(faults(f"| it rains | it waits | {shown_by} |")) == 1
