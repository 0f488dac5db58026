"""The page ``RESULTS.md``, from all records that are kept."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from reasons import reasons
from record import HERE, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from record import Row

PAGE = HERE / "RESULTS.md"
INTRODUCTION = (
    "Written by `make bench`. In one piece of work everything ran in one go, in turn, against one lakeFS server on the"
    " same machine. Figures are medians of the rounds. Seconds depend on the machine and on what else it does; the"
    " ratios are what counts. Every figure of every round is in [`results/`](results)."
)
REACHED = {True: "reached", False: "**missed**"}


def page(records: Sequence[Record], plots: Sequence[str]) -> str:
    """Return all of it as Markdown."""
    lines = ["# What was measured", "", INTRODUCTION, "", *_summary(records), ""]
    lines += [line for plot in plots for line in (f"![{plot.replace('-', ' ')}](results/{plot}.svg)", "")]
    for record in records:
        lines += _section(record)
    return "\n".join(lines)


def _summary(records: Iterable[Record]) -> list[str]:
    rows = [
        f"| [{record.title}](#{_anchor(record.title)}) | {goal.what} | {_number(goal.value)} |"
        f" {_number(goal.at_most)} | {REACHED[goal.reached]} |"
        for record in records
        for goal in record.goals
    ]
    return ["| work | goal | measured | at most | |", "|---|---|--:|--:|---|", *rows]


def _section(record: Record) -> list[str]:
    of = f"{record.corpus}; " if record.corpus else ""
    rounds = max((len(values) for row in record.rows for values in row.figures.values()), default=0)
    lines = [
        f"## {record.title}",
        "",
        record.text,
        "",
        f"{of}{rounds} rounds. {'; '.join(record.machine.values())}.",
        "",
    ]
    lines += _table(record)
    lines += [""]
    for note in [*record.notes, *reasons(record)]:
        lines += [note, ""]
    lines += [f"{row.who}: {row.does}.\n" for row in record.rows if row.does]
    return lines


def _table(record: Record) -> list[str]:
    columns: list[str] = []
    for row in record.rows:
        columns += [name for name in row.figures if name not in columns]
    compared = _compared(record)
    header = [record.by or ""]
    for name in columns:
        header += [name, "fastest", "slowest"] if name == "seconds" else [name]
        if name == "seconds" and compared:
            header.append(f"× {compared.who}")
    lines = [f"| {' | '.join(header)} |", "|---|" + "--:|" * (len(header) - 1)]
    for row in record.rows:
        cells = [row.who]
        for name in columns:
            values = row.figures.get(name, [])
            cells.append(_number(median(values)) if values else "")
            if name == "seconds":
                cells += [_number(min(values)), _number(max(values))] if values else ["", ""]
                if compared:
                    cells.append(_ratio(row, compared))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _compared(record: Record) -> Row | None:
    """Return the row that the others are compared with: syncd, where there are others that did the same."""
    names = [row.who for row in record.rows]
    return next((row for row in record.rows if row.who in {"syncd sync", "syncd pull"} and len(names) > 1), None)


def _ratio(row: Row, other: Row) -> str:
    mine, theirs = row.figures["seconds"], other.figures["seconds"]
    if len(mine) == len(theirs):
        return f"{median(one / two for one, two in zip(mine, theirs, strict=True)):.2f}"
    return f"{median(mine) / median(theirs):.2f}"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}" if value < 1 else f"{value:.2f}"


def _anchor(title: str) -> str:
    return "".join(char for char in title.lower().replace(" ", "-") if char.isalnum() or char == "-")
