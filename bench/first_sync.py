"""A folder of files, from nothing into lakeFS: syncd beside its peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import corpus as files
import place as places
from peers import Outcome, Peer, Syncd, all_peers
from record import Record

if TYPE_CHECKING:
    from corpus import Corpus
    from place import Place

# who takes longer than this, and this many times longer than syncd, is measured once
SLOW_S, SLOW_TIMES = 60.0, 2.0
TEXT = (
    "Each does all of its work in new processes, with a new repository and no state: the ratio is the median of each"
    " round's own. Afterwards each file is looked for in lakeFS by another client. Peak memory is that of one process."
)


def first_sync(name: str, title: str, corpus: Corpus, *, rounds: int, at_most: float = 1.0) -> Record:
    """Run every peer once unmeasured and then so many rounds in turn."""
    record = Record(name=name, title=title, text=TEXT, corpus=str(corpus))
    in_turn = all_peers()
    with places.place_for(corpus) as place:
        size_bytes = files.total_bytes(place.corpus)
        first_seconds: dict[str, float] = {}
        for number in range(rounds + 1):
            turn = number % len(in_turn)
            for peer in in_turn[turn:] + in_turn[:turn]:
                outcome = _once(peer, place, count=corpus.files, size_bytes=size_bytes)
                print(f"{name}, round {number} of {rounds}: {peer.name} {outcome.cost.seconds:.2f} s", flush=True)
                if number:  # caches of all kinds are warm from here on
                    record.row(peer.name, peer.does).add_cost(outcome.cost)
                    for step, cost in outcome.steps.items() if len(outcome.steps) > 1 else ():
                        record.row(peer.name).add(**{f"{step} s": cost.seconds})
                else:
                    first_seconds[peer.name] = outcome.cost.seconds
                    if _is_slow(peer, outcome, first_seconds):
                        record.row(peer.name, peer.does).add_cost(outcome.cost)
                        record.notes.append(f"{peer.name} was measured once, since it takes so long.")
            in_turn = [peer for peer in in_turn if peer.name not in {row.who for row in record.rows} or number]
    record.rows.sort(key=lambda row: row.middle())
    others = [peer.name for peer in all_peers() if not isinstance(peer, Syncd) and peer.name != "oxen add, commit"]
    record.beside_the_best("syncd sync", others, at_most=at_most)
    return record


def _once(peer: Peer, place: Place, *, count: int, size_bytes: int) -> Outcome:
    outcome = peer.first(place)
    if outcome.holds_files:
        where = {"prefix": outcome.prefix, "count": count, "size_bytes": size_bytes}
        places.check(place, outcome.repository, outcome.reference, **where)
    places.discard(place, outcome.repository)
    return outcome


def _is_slow(peer: Peer, outcome: Outcome, first_seconds: dict[str, float]) -> bool:
    mine = first_seconds.get(Syncd().name)
    return mine is not None and peer.name != Syncd().name and outcome.cost.seconds > max(SLOW_S, SLOW_TIMES * mine)
