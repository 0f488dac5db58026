"""``syncd pull`` beside other tools that bring a snapshot into a folder."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import corpus as files
import place as places
import tools
from peers import SYNCD, UNDER
from record import Record, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from corpus import Corpus
    from measure import Cost
    from place import Place

CHANGED = 50
TEXT = (
    "Each tool in turn, from its start to its exit, into an empty folder. syncd checks every SHA-256, fills its cache,"
    " and switches the folder in one step; its cache is empty, but for the lines that say what changed. Nothing is"
    " deleted in between: a file system may make new files several times slower just after that."
)


@dataclass
class Source:
    """Two snapshots of one repository, some files apart."""

    place: Place
    state: Path
    tags: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.state / "images"

    def publish(self) -> None:
        """Make the two snapshots."""
        files.linked(self.place.corpus, self.root)
        config = places.configure(self.place, self.state, root=self.root, more="settle_seconds = 0")
        rng = random.Random(1)
        paths = sorted(self.root.rglob("*.jpg"))
        for _ in range(2):
            said = self.place.measured([SYNCD, "sync", "--json", "--config", config], self.state).stdout
            self.tags.append(json.loads(said)["tag"])
            for path in rng.sample(paths, CHANGED):
                content = path.read_bytes()
                path.unlink()  # it is a hard link to the corpus
                path.write_bytes(content[:-1] + b"!")


def pull(name: str, title: str, corpus: Corpus, *, rounds: int) -> Record:
    """Run every tool once unmeasured and then so many rounds in turn; each result is held against the source."""
    record = Record(name=name, title=title, text=TEXT, corpus=str(corpus))
    with places.place_for(corpus) as place:
        state = place.fresh("pull")
        source = Source(place, state)
        source.publish()
        there = digests(source.root)
        commands, slow, syncd_s = _tools(source), set[str](), 0.0
        for number in range(rounds + 1):
            for who in in_turn([who for who in commands if who not in slow], number):
                # nothing is deleted before the end: ext4 makes new files several times slower just after it
                home = state / f"round-{number}" / who.replace(" ", "-")
                home.mkdir(parents=True)
                folder = home / "pulled"
                cost = place.measured(commands[who](folder), home).cost
                if who == "syncd pull":  # the first of all in the first round
                    syncd_s = cost.seconds
                elif number == 0 and record.is_enough(who, cost.seconds, syncd_s):
                    slow.add(who)
                if number or who in slow:
                    record.row(who).add_cost(cost)
                here = digests(folder)
                if len(here) != len(there) or len(here - there) > 2 * CHANGED:
                    raise AssertionError(f"{folder}: {len(here)} files, {len(here - there)} unknown")
                if who == "syncd pull":
                    again: list[Cost] = [place.measured(_pull(source, 1, folder), home).cost for _ in range(2)]
                    for what, more in zip((f"{CHANGED} changed", "nothing changed"), again, strict=True):
                        if number:
                            record.row(f"syncd pull, {what}").add_cost(more)
                print(f"{name}, round {number} of {rounds}: {who} {cost.seconds:.2f} s", flush=True)
    record.rows.sort(key=lambda row: row.middle())
    record.beside_the_best("syncd pull", [who for who in commands if who != "syncd pull"])
    return record


def _tools(source: Source) -> dict[str, Callable[[Path], Sequence[str | Path]]]:
    reference = f"{source.state.name}/{source.tags[0]}"
    uri = f"lakefs://{reference}/{UNDER}/"
    found: dict[str, Callable[[Path], Sequence[str | Path]]] = {
        "syncd pull": lambda folder: _pull(source, 0, folder),
        "lakectl fs download": lambda folder: [
            tools.lakectl(),
            *("fs", "download", "--recursive", "--no-progress", uri),
            folder,
        ],
    }
    if rclone := tools.rclone():
        for more in ((), ("--transfers", "32")):
            found[" ".join(("rclone copy", *more))] = lambda folder, more=more: [
                rclone,
                "copy",
                f"here:{reference}/{UNDER}",
                folder,
                *more,
            ]
    if s5cmd := tools.s5cmd():
        found["s5cmd cp"] = lambda folder: [s5cmd, "cp", f"s3://{reference}/{UNDER}/*", f"{folder}/"]
    return found


def _pull(source: Source, which: int, folder: Path) -> list[str | Path]:
    return [SYNCD, "pull", source.tags[which], folder, "--config", places.config_of(source.state)]


def digests(folder: Path) -> set[tuple[str, str]]:
    return {(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in folder.rglob("*.jpg")}  # noqa: S324
