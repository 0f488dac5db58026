"""Why a goal was missed, as far as the figures of the same record say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from record import Record


def reasons(record: Record) -> list[str]:
    """Return sentences for the page; none where every goal is reached."""
    if all(goal.reached for goal in record.goals):
        return []
    found = {"growth": _of_growth, "rename": _of_rename}.get(record.name, _beside_peers)
    return list(found(record))


def _beside_peers(record: Record) -> Iterator[str]:
    ours = next((row for row in record.rows if row.who in {"syncd sync", "syncd pull"}), None)
    if ours is None or "client CPU s" not in ours.figures:
        return
    best = next(
        (row for row in record.rows if any(goal.what.endswith(f" of {row.who}") for goal in record.goals)), ours
    )
    told = "; ".join(
        f"{row.who} {row.middle('client CPU s'):.2f} s, and the server {row.middle('server CPU s'):.2f} s beside it"
        for row in (ours, best)
    )
    yield (
        f"Client and server share {os.cpu_count()} cores, and what the client computes is missing to the server. CPU:"
        f" {told}. [Where syncd's time goes](#where-syncds-time-goes) says what of it is what."
    )


def _of_growth(record: Record) -> Iterator[str]:
    few, many = record.rows[0], record.rows[-1]
    alone, own = ([row.middle(name) for row in (few, many)] for name in ("lakeFS alone ms", "own ms"))
    yield (
        f"One change: lakeFS alone takes {alone[0]:.0f} ms among {few.who} files and {alone[1]:.0f} among {many.who}: a"
        " commit writes the range of keys anew that the change falls into, and a range of many files is longer."
        f" syncd adds {own[0]:.0f} and {own[1]:.0f} ms."
    )
    if "thousand changes lakeFS commits alone s" in many.figures:
        commits = [row.middle("thousand changes lakeFS commits alone s") for row in (few, many)]
        yield (
            "A thousand changes, spread over all files, fall into every range: commit, merge and tag by lakeFS's own"
            f" client take {commits[0]:.2f} s among {few.who} and {commits[1]:.2f} s among {many.who}. syncd made"
            f" {many.middle('thousand changes snapshots'):.0f} snapshots of them there."
        )
    if "start CPU s" in many.figures:
        cpu_s, load_s, busy_s = (
            many.middle("start CPU s"),
            few.middle("start CPU s"),
            many.middle("lakeFS busy afterwards s"),
        )
        starts_s = many.figures["start s"]
        yield (
            f"Start: {min(starts_s):.1f} to {max(starts_s):.1f} s; at the median {cpu_s:.1f} s of CPU, {load_s:.1f} of"
            " them to load and connect; the rest is looks at files, which `find` has in C. The first start, which"
            f" compares each file with what is known of it, took {many.middle('first start s'):.1f} s. lakeFS was busy"
            f" for {busy_s:.0f} s after the first sync."
        )


def _of_rename(record: Record) -> Iterator[str]:
    row = next(row for row in record.rows if row.who == "syncd, renamed")
    yield (
        f"{row.middle('client CPU s'):.1f} of these seconds are CPU of syncd's: each file is read and hashed, copied by"
        " a request of its own, the copy checked, and the former key deleted. Uploading needs no deletion, and lakeFS"
        " reads and writes the bytes of what it copies, too."
    )
