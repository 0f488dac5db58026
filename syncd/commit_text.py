"""What a commit says of the snapshot it makes: its message, and its metadata, which a journal can be rebuilt from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.store.base import INTENT_METADATA, TAG_METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from syncd.journal.closure import Pairing
    from syncd.journal.snapshots import Summary
    from syncd.model import Trigger


def message_of(summary: Summary, trigger: Trigger) -> str:
    """Return the commit's message, one line."""
    return (
        f"{summary.added} added, {summary.changed} changed, {summary.deleted} deleted"
        f" ({trigger.value.replace('_', ' ')})"
    )


def metadata_of(
    summary: Summary,
    intent: str,
    trigger: Trigger,
    pairings: Mapping[str, Pairing],
    *,
    tag: str = "",
    version: str,
    observed_at: datetime,
) -> dict[str, str]:
    """Return the commit's metadata.

    Args:
        summary: What it changes and holds.
        intent: By which it is known again after its reply was lost.
        trigger: Why it is made.
        pairings: By table: how many rows and images in it do not fit together.
        tag: The one it is to get; "": that is not known yet.
        version: Of syncd.
        observed_at: When the newest change was seen, where the summary does not say it.
    """
    return {
        INTENT_METADATA: intent,
        **({TAG_METADATA: tag} if tag else {}),
        "syncd.trigger": trigger.value,
        "syncd.added": str(summary.added),
        "syncd.changed": str(summary.changed),
        "syncd.deleted": str(summary.deleted),
        "syncd.images": str(summary.images),
        "syncd.bytes": str(summary.size_bytes),
        "syncd.digest": summary.digest.hexdigest(),
        "syncd.observed_at": (summary.observed_at or observed_at).isoformat(),
        "syncd.version": version,
        **{f"syncd.rows.{table}": str(rows) for table, rows in summary.rows.items()},
        **{f"syncd.missing.{table}": str(pairing.missing) for table, pairing in pairings.items()},
        **{f"syncd.orphaned.{table}": str(pairing.orphaned) for table, pairing in pairings.items()},
    }
