"""A folder of files, from nothing into lakeFS: syncd beside its peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import corpus as files
import place as places
from peers import UNDER, Outcome, Oxen, Peer, Syncd, all_peers
from record import Record, in_turn

if TYPE_CHECKING:
    from corpus import Corpus
    from place import Place

TEXT = (
    "Each does all of its work in new processes, with a new repository and no state: the ratio is the median of each"
    " round's own. Afterwards each file is looked for in lakeFS by another client. Memory is that of the"
    " process that had the most."
)


def first_sync(name: str, title: str, corpus: Corpus, *, rounds: int, at_most: float = 1.0) -> Record:
    """Run every peer once unmeasured and then so many rounds in turn."""
    record = Record(name=name, title=title, text=TEXT, corpus=str(corpus))
    everyone, slow = all_peers(), set[str]()
    with places.place_for(corpus) as place:
        size_bytes, syncd_s = files.total_bytes(place.corpus), 0.0
        for number in range(rounds + 1):
            for peer in in_turn([peer for peer in everyone if peer.name not in slow], number):
                outcome = _once(peer, place, count=corpus.files, size_bytes=size_bytes)
                seconds = outcome.cost.seconds
                print(f"{name}, round {number} of {rounds}: {peer.name} {seconds:.2f} s", flush=True)
                if isinstance(peer, Syncd):  # the first of all in the first round
                    syncd_s = seconds
                elif number == 0 and record.is_enough(peer.name, seconds, syncd_s):
                    slow.add(peer.name)
                if number or peer.name in slow:  # of others the first round only warms caches of all kinds
                    _take(record, peer, outcome)
    record.rows.sort(key=lambda row: row.middle())
    others = [peer.name for peer in everyone if not isinstance(peer, Syncd | Oxen)]  # Oxen sends nothing
    record.beside_the_best("syncd sync", others, at_most=at_most)
    return record


def _once(peer: Peer, place: Place, *, count: int, size_bytes: int) -> Outcome:
    outcome = peer.first(place)
    if outcome.holds_files:
        where = {"prefix": f"{UNDER}/", "count": count, "size_bytes": size_bytes}
        places.check(place, outcome.repository, outcome.reference, **where)
    places.discard(place, outcome.repository)
    return outcome


def _take(record: Record, peer: Peer, outcome: Outcome) -> None:
    row = record.row(peer.name, peer.does)
    row.add_cost(outcome.cost)
    if len(outcome.steps) > 1:
        row.add(**{f"{step} s": cost.seconds for step, cost in outcome.steps.items()})
