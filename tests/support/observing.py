"""Observations for tests, from a key and a content."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from syncd.model import Fingerprint, Observation, Signature

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def fingerprint(content: bytes) -> Fingerprint:
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    return Fingerprint(hashlib.sha256(content).digest(), md5, len(content))


def present(key: str, content: bytes, *, at: datetime = START, mtime_ns: int = 1) -> Observation:
    signature = Signature(len(content), mtime_ns, mtime_ns, 7)
    return Observation(key=key, fingerprint=fingerprint(content), signature=signature, observed_at=at, reason="scan")


def absent(key: str, *, at: datetime = START) -> Observation:
    return Observation(key=key, fingerprint=None, signature=None, observed_at=at, reason="event")
