"""Snapshots that the journal learns of from their commits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.journal.rows import to_seconds
from syncd.journal.snapshots import open_snapshot
from syncd.model import Trigger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_DIGEST_LETTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A snapshot as its commit tells of it."""

    intent: str
    step: str  # "committed" | "merged" | "tagged"
    tag: str
    message: str
    metadata: Mapping[str, str]
    staging_commit: str
    commit_id: str | None  # None: it is not merged
    created_at: datetime


def recover(connection: sqlite3.Connection, found: Sequence[Recovered]) -> int:
    """Fill in snapshots that are not known, the oldest first; return how many. One may be open, if none is."""
    known = {intent for (intent,) in connection.execute("SELECT intent FROM snapshot")}
    is_open = open_snapshot(connection) is not None
    count = 0
    for one in found:
        if one.intent in known or (is_open and one.step != "tagged"):
            continue
        connection.execute(_RECOVER, _recovered_values(one))
        count += 1
    return count


_RECOVER = """
INSERT INTO snapshot (sequence, intent, step, trigger_name, begun_at, tag, message, metadata, added, changed, deleted,
                      images, size_bytes, digest_state, digest, staging_commit, commit_id, created_at)
VALUES ((SELECT coalesce(max(sequence), 0) + 1 FROM snapshot), :intent, :step, :trigger, :at, :tag, :message, :metadata,
        :added, :changed, :deleted, :images, :bytes, zeroblob(256), :digest, :staging_commit, :commit_id,
        iif(:commit_id IS NULL, NULL, :at))
"""


def _recovered_values(one: Recovered) -> dict[str, object]:
    def number(name: str) -> int:
        said = one.metadata.get(f"syncd.{name}", "")
        return int(said) if said.isdecimal() else 0

    trigger, digest = one.metadata.get("syncd.trigger", ""), one.metadata.get("syncd.digest", "")
    return {
        **{name: number(name) for name in ("added", "changed", "deleted", "images", "bytes")},
        "intent": one.intent,
        "step": one.step,
        "trigger": trigger if trigger in set(Trigger) else Trigger.REQUEST.value,
        "at": to_seconds(one.created_at),
        "tag": one.tag,
        "message": one.message,
        "metadata": json.dumps(dict(one.metadata)),
        "digest": digest if len(digest) == _DIGEST_LETTERS else "0" * _DIGEST_LETTERS,
        "staging_commit": one.staging_commit,
        "commit_id": one.commit_id,
    }
