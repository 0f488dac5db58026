"""What a commit says of the snapshot it makes: its message, and its metadata, which a journal can be rebuilt from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncd.sources.tables.roles import roles_in_commit, roles_in_schema
from syncd.store.base import INTENT_METADATA, STAGING_METADATA, TAG_METADATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from syncd.journal.closure import Pairing
    from syncd.journal.snapshots import Summary
    from syncd.model import Trigger
    from syncd.sources.tables.roles import Roles


MOST_REASON_CHARACTERS = 1000


def message_of(summary: Summary, trigger: Trigger) -> str:
    """Return the commit's message, one line."""
    return (
        f"{summary.added} added, {summary.changed} changed, {summary.deleted} deleted"
        f" ({trigger.value.replace('_', ' ')})"
    )


def metadata_of(  # noqa: PLR0913  # each is something that a commit tells
    summary: Summary,
    intent: str,
    trigger: Trigger,
    pairings: Mapping[str, Pairing],
    *,
    roles: Mapping[str, Roles] | None = None,
    reasons: Sequence[str] = (),
    tag: str = "",
    staging: str,
    version: str,
    observed_at: datetime,
) -> dict[str, str]:
    """Return the commit's metadata.

    Args:
        summary: What it changes and holds.
        intent: By which it is known again after its reply was lost.
        trigger: Why it is made.
        pairings: By table: how many rows and images in it do not fit together.
        roles: By table: its columns, as :func:`roles_of` returns them.
        reasons: Of those who asked for it, in their words.
        tag: The one it is to get; "": that is not known yet.
        staging: The branch on which it was staged.
        version: Of syncd.
        observed_at: When the newest change was seen, where the summary does not say it.
    """
    return {
        INTENT_METADATA: intent,
        **({TAG_METADATA: tag} if tag else {}),
        STAGING_METADATA: staging,
        "syncd.trigger": trigger.value,
        **({"syncd.reason": "; ".join(reasons)[:MOST_REASON_CHARACTERS]} if reasons else {}),
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
        **{key: value for table, told in (roles or {}).items() for key, value in told.metadata(table).items()},
    }


def roles_of(
    tables: Iterable[str], *, schemas: Mapping[str, str], configured: Mapping[str, Roles], before: Mapping[str, str]
) -> dict[str, Roles]:
    """Return by table what its columns are for in the version that is published.

    A table with a schema goes by that: one that is held has the columns of its last good version, whatever the
    configuration says by now. One that is not configured any more, and still there, stays as it was.

    Args:
        tables: Names of those that are there.
        schemas: By table, as accepted last; "" for a CSV file as it is.
        configured: By table.
        before: Metadata of the newest snapshot.
    """
    found = {}
    for table in tables:
        now = configured.get(table) or roles_in_commit(before, table)
        schema = schemas.get(table)
        found[table] = replace(roles_in_schema(schema), closure=now.closure) if schema else now
    return found
