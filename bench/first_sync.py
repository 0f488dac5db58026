"""Measures syncd beside ``lakectl local`` on the same images and the same server, and writes the results down.

``make bench`` runs it. Everything it starts ends with it; images are kept in ``.cache/bench`` for the next time.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import corpus as images
import latency
import peers
import report

from syncd.embedded.binary import find_or_build
from syncd.embedded.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache" / "bench"
RESULTS = HERE / "RESULTS.md"
QUICK_FILES, QUICK_ROUNDS = 1000, 2
CHANGES = 10
AT_REST_S = 3.0  # longer than settle_seconds: waiting for files to settle is not what is measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, help="how many images (5000)")
    parser.add_argument("--bytes", type=int, default=19_000, help="their average size (%(default)s)")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5)")
    parser.add_argument("--seed", type=int, default=1, help="of the images (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds; results are only printed")
    parser.add_argument("--output", type=Path, help=f"where results are written (bench/{RESULTS.name})")
    asked = parser.parse_args()
    files = asked.files or (QUICK_FILES if asked.quick else 5_000)
    corpus = images.Corpus(files=files, size_bytes=asked.bytes, seed=asked.seed)
    text = report.page(measured(corpus, asked.rounds or (QUICK_ROUNDS if asked.quick else 5)))
    print(text)
    output = asked.output or (None if asked.quick else RESULTS)
    if output is not None:
        output.write_text(text)


def measured(corpus: images.Corpus, rounds: int) -> report.Results:
    """Run every peer once unmeasured and then so many rounds in turn; return all figures."""
    syncd, inside = peers.Syncd(), peers.SyncdInside()
    in_turn: list[peers.Peer] = [syncd, inside, peers.Lakectl(), peers.Lakectl(parallelism=128)]
    with place_for(corpus) as place:
        results = report.Results(corpus=corpus, total_bytes=images.total_bytes(place.corpus), lakectl=place.lakectl)
        for number in range(rounds + 1):
            turn = number % len(in_turn)
            for peer in in_turn[turn:] + in_turn[:turn]:
                outcome = peer.sync(place)
                peers.check(place, outcome, files=corpus.files, size_bytes=results.total_bytes)
                print(f"round {number} of {rounds}: {peer.name} {outcome.cost.seconds:.2f} s", flush=True)
                again = syncd.again(place) if peer is syncd else None
                peers.discard(place, outcome)
                if number == 0:  # caches of all kinds are warm from here on
                    continue
                if peer is inside:
                    results.phases.append(inside.phases)
                else:
                    results.add(peer.name, outcome.steps)
                if again is not None:
                    results.again.append(again.cost)
        watched = images.linked(place.corpus, place.directory / "watched")
        results.latencies_s = latency.change_to_tag(place, watched, changes=CHANGES)
    return results


@contextmanager
def place_for(corpus: images.Corpus) -> Iterator[peers.Place]:
    """Start a server in a folder of its own, and remove both in the end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = images.cached(corpus, CACHE)
    binary, lakectl = find_or_build("lakefs"), find_or_build("lakectl")
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))  # beside the images: hard links need one file system
    server = ServerProcess(directory / "server", binary=binary)
    try:
        for_lakectl = images.linked(folder, directory / "for-lakectl")
        server.start()
        time.sleep(max(0.0, images.last_touched(folder) + AT_REST_S - time.time()))
        yield peers.Place(
            server=server, directory=directory, lakectl=lakectl, corpus=folder, corpus_for_lakectl=for_lakectl
        )
    finally:
        server.stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
