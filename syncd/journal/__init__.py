"""The journal: what the source showed, what is staged, what is committed, and the history of snapshots."""

from syncd.journal.journal import Journal

__all__ = ["Journal"]
