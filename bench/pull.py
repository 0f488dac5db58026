"""Measures ``syncd pull`` beside other tools that bring a snapshot into a folder, and writes the results down.

``.venv/bin/python bench/pull.py``. ``rclone`` and ``s5cmd`` take part where they are installed. Each round every tool
brings all images into an empty folder; syncd with an empty cache, then once more after some images have changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import corpus as images
import measure
import peers
import report
from first_sync import place_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Cost

RESULTS = Path(__file__).resolve().parent / "PULL.md"
SYNCD = str(Path(sys.executable).with_name("syncd"))
CHANGED = 50


@dataclass
class Source:
    """Two snapshots of one repository, some images apart."""

    place: peers.Place
    state: Path
    repository: str
    tags: list[str] = field(default_factory=list)
    cache: Path = field(init=False)  # of syncd, for the run in hand

    def __post_init__(self) -> None:
        """Begin with a cache that nobody pulls into."""
        self.cache = self.state / "cache"

    @property
    def environment(self) -> dict[str, str]:
        server = self.place.server
        return {
            **peers.lakectl_environment(self.place, self.state),
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
            "AWS_REGION": "us-east-1",
            "XDG_CACHE_HOME": str(self.cache),
            "RCLONE_CONFIG_HERE_TYPE": "s3",
            "RCLONE_CONFIG_HERE_PROVIDER": "Other",
            "RCLONE_CONFIG_HERE_ENDPOINT": server.endpoint,
            "RCLONE_CONFIG_HERE_ENV_AUTH": "true",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000, help="how many images (%(default)s)")
    parser.add_argument("--bytes", type=int, default=19_000, help="their average size (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (%(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"where results go (bench/{RESULTS.name})")
    asked = parser.parse_args()
    corpus = images.Corpus(files=asked.files, size_bytes=asked.bytes, seed=1)
    with place_for(corpus) as place:
        results = report.Results(corpus=corpus, total_bytes=images.total_bytes(place.corpus), lakectl=place.lakectl)
        costs = measured(publish(place), asked.rounds)
        for name, found in costs.items():
            for cost in found:
                results.add(name, {"pull": cost})
        asked.output.write_text(page(results, costs))
    print(asked.output.read_text())


def publish(place: peers.Place) -> Source:
    """Make the two snapshots."""
    state = place.fresh("pull")
    source = Source(place, state, state.name)
    root = images.linked(place.corpus, state / "images")
    peers.configure(place, state, root=root)
    rng = random.Random(1)
    for _ in range(2):
        said = measure.run(
            [SYNCD, "sync", "--json", "--config", str(peers.config_of(state))],
            environment=source.environment,
            directory=state,
        ).stdout
        source.tags.append(json.loads(said)["tag"])
        for path in rng.sample(sorted(root.rglob("*.jpg")), CHANGED):
            content = path.read_bytes()
            path.unlink()  # it is a hard link to the corpus
            path.write_bytes(content[:-1] + b"!")
    return source


def measured(source: Source, rounds: int) -> dict[str, list[Cost]]:
    """Run every tool once unmeasured and then so many rounds in turn; each result is held against the first one's."""
    tools: dict[str, Callable[[Path], list[str]]] = {
        "lakectl fs download": lambda folder: [
            str(source.place.lakectl),
            "fs",
            "download",
            "-r",
            "--no-progress",
            f"lakefs://{source.repository}/{source.tags[0]}/images/",
            str(folder),
        ],
        "syncd pull": lambda folder: pull(source, 0, folder),
    }
    reference = f"{source.repository}/{source.tags[0]}"
    if rclone := shutil.which("rclone"):
        tools["rclone copy"] = lambda folder: [rclone, "copy", f"here:{reference}", str(folder)]
        tools["rclone copy --transfers 32"] = lambda folder: [*tools["rclone copy"](folder), "--transfers", "32"]
    if s5cmd := shutil.which("s5cmd"):
        endpoint = source.place.server.endpoint
        tools["s5cmd cp"] = lambda folder: [
            s5cmd,
            "--endpoint-url",
            endpoint,
            "cp",
            f"s3://{reference}/*",
            f"{folder}/",
        ]
    costs: dict[str, list[Cost]] = {}
    for number in range(rounds + 1):
        names = list(tools)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            # nothing is deleted before the end: ext4 makes new files several times slower just after it
            folder = source.state / "pulled" / f"{number}-{names.index(name)}"
            source.cache = source.state / "cache" / folder.name
            cost = one(source, tools[name](folder))
            if number:
                costs.setdefault(name, []).append(cost)
            check(folder, source.state / "images", changed=2 * CHANGED)
            if name == "syncd pull":
                after, same = one(source, pull(source, 1, folder)), one(source, pull(source, 1, folder))
                if number:
                    costs.setdefault(f"syncd pull, {CHANGED} changed", []).append(after)
                    costs.setdefault("syncd pull, nothing changed", []).append(same)
            print(f"round {number} of {rounds}: {name} {cost.seconds:.2f} s", flush=True)
    return costs


def pull(source: Source, which: int, folder: Path) -> list[str]:
    return [SYNCD, "pull", source.tags[which], str(folder), "--config", str(peers.config_of(source.state))]


def one(source: Source, command: list[str]) -> Cost:
    return peers.measured(source.place, command, source.state, source.environment).cost


def check(folder: Path, root: Path, *, changed: int) -> None:
    """Make sure that all came, whole: all but what was changed since is byte for byte what lies in the source."""
    here = digests(folder)
    there = digests(root)
    if len(here) != len(there) or len(here - there) > changed:
        raise AssertionError(f"{folder}: {len(here)} images, {len(here - there)} unknown")


def digests(folder: Path) -> set[tuple[str, str]]:
    return {(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in folder.rglob("*.jpg")}  # noqa: S324


def page(results: report.Results, costs: dict[str, list[Cost]]) -> str:
    reference = median(cost.seconds for cost in costs["lakectl fs download"])
    lines = [
        "| | seconds | fastest | slowest | × lakectl | client CPU s | server CPU s | client MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, found in sorted(costs.items(), key=lambda item: median(cost.seconds for cost in item[1])):
        seconds = [cost.seconds for cost in found]
        lines.append(
            f"| {name} | {median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |"
            f" {median(seconds) / reference:.2f} | {median(cost.client_cpu_s for cost in found):.2f} |"
            f" {median(cost.server_cpu_s for cost in found):.2f} |"
            f" {median(cost.peak_bytes for cost in found) / report.MIB:.0f} |"
        )
    introduction = (
        "Written by `bench/pull.py`: each tool in turn, from its start to its exit, into an empty folder, against one"
        " lakeFS server on the same machine. syncd checks every SHA-256, fills its cache, and switches the folder in"
        " one step; its cache is empty, but for the lines that say what changed. Nothing is deleted in between: a file"
        " system may make new files several times slower just after that.\n"
    )
    return "\n".join(["# Pulling a snapshot\n", introduction, *report.machine(results), "", *lines, ""])


if __name__ == "__main__":
    main()
