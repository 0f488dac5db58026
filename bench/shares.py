"""Where syncd's own time goes: a sampling profile of a first sync and a pull, by the part of syncd that runs."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import place as places
import tools
from corpus import Corpus
from daemon import ON_REQUEST
from peers import SYNCD
from record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from place import Place

IMAGES = Corpus(files=5_000, size_bytes=19_000)
SAMPLES_A_SECOND = 250
LEAST_PERCENT = 2.0
_FRAME = re.compile(r"^(?P<name>.+) \((?P<file>[^()]+?)(:\d+)?\)$")
_OF_SYNCD = re.compile(r"(?:^|/)syncd/(?P<part>.+)\.py$")
TEXT = (
    f"Of a first sync, and of a pull, of {IMAGES.files:,} images: which part of syncd's own process runs, in percent of"
    f" the samples in which one does ({SAMPLES_A_SECOND} a second, all threads; the server is another process). A part"
    " is the innermost file of syncd on the stack, what it calls in libraries included; asyncio is the event loop by"
    " itself, imports what is loaded at the start."
)


def shares(*, rounds: int) -> Record:
    """Profile each so often, and add it up."""
    record = Record(name="shares", title="Where syncd's time goes", text=TEXT, corpus=str(IMAGES), by="part")
    spy = tools.environment()
    if spy is None:
        record.notes.append("Not measured: py-spy could not be had.")
        return record
    with places.place_for(IMAGES) as place:
        for what, found in (("first sync, %", Counter[str]()), ("pull, %", Counter[str]())):
            for _ in range(rounds):
                state = place.fresh("profiled")
                found.update(_first_sync(place, state, spy) if what.startswith("first") else _pull(place, state, spy))
            for part, count in found.items():
                record.row(part).figures[what] = [100 * count / found.total()]
    record.rows = [row for row in record.rows if max(row.middle(name) for name in row.figures) >= LEAST_PERCENT]
    record.rows.sort(key=lambda row: -max(row.middle(name) for name in row.figures))
    return record


def _first_sync(place: Place, state: Path, spy: Path) -> Counter[str]:
    config = places.configure(place, state, root=place.corpus, more=ON_REQUEST)
    return _profiled(place, state, spy, ["sync", "--json", "--config", str(config)])


def _pull(place: Place, state: Path, spy: Path) -> Counter[str]:
    config = places.configure(place, state, root=place.corpus, more=ON_REQUEST)
    said = place.measured([SYNCD, "sync", "--json", "--config", config], state).stdout
    home = place.fresh("pulled")
    return _profiled(place, home, spy, ["pull", json.loads(said)["tag"], str(home / "out"), "--config", str(config)])


def _profiled(place: Place, home: Path, spy: Path, command: list[str]) -> Counter[str]:
    into = home / "samples"
    how = ["--format", "raw", "--rate", str(SAMPLES_A_SECOND), "--threads", "--output", str(into)]
    place.measured([spy / "py-spy", "record", *how, "--", SYNCD.with_name("python"), SYNCD, *command], home)
    found = Counter[str]()
    for line in into.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        if part := part_of(stack.split(";")):
            found[part] += int(count)
    return found


def part_of(stack: list[str]) -> str | None:
    """Return the part of syncd that a stack, the outermost frame first, is in; None for a thread without work."""
    if stack[-1].startswith("_worker "):
        return None
    files = [match["file"] for frame in stack if (match := _FRAME.match(frame))]
    if any("importlib" in file for file in files):
        return "imports"
    loop = max((number for number, file in enumerate(files) if "asyncio/base_events" in file), default=-1)
    run = files[loop + 1 :]  # below the loop there is always main
    of_syncd = [match["part"] for file in run if (match := _OF_SYNCD.search(file))]
    if of_syncd:
        return f"syncd/{of_syncd[-1]}.py"
    return "asyncio" if loop >= 0 else "Python"
