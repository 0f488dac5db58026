"""The cache that pulls share, entered and left by many at once."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from syncd.snapshots.object_cache import ObjectCache

PULLS, TIMES = 8, 60


def test_many_begin_and_end_at_once(tmp_path: Path) -> None:
    """Who is alone removes what was left half fetched; that must be nobody's ground under their feet."""

    def pull(number: int) -> None:
        for time in range(TIMES):
            content = f"{number} {time}".encode()
            sha256 = hashlib.sha256(content).digest()
            with ObjectCache(tmp_path / "cache") as cache:
                cache.keep(content, sha256)
                assert cache.check(sha256)

    with ThreadPoolExecutor(PULLS) as pool:
        list(pool.map(pull, range(PULLS)))
