"""Reading a snapshot with a client that is not syncd's, and holding it against the source byte for byte."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from syncd.model import IMAGES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

READERS = 4
MOST_SHOWN = 12


class Reader:
    """Reads references of one repository; the bytes of an object are fetched once for each ETag.

    The ETag is lakeFS's own MD5 of the bytes it stored, and a changed object has another one.
    """

    def __init__(self, s3: S3Client, repository: str, prefix: str = "") -> None:
        self._s3, self._repository, self._prefix = s3, repository, prefix
        self._bodies: dict[tuple[str, str], bytes] = {}

    def objects(self, reference: str) -> dict[str, bytes]:
        """Return every object of a tag, branch or commit below the prefix: key to bytes."""
        start, listing = f"{reference}/{self._prefix}", self.digests(reference)
        missing = [(key, etag) for key, etag in listing.items() if (key, etag) not in self._bodies]
        with ThreadPoolExecutor(READERS) as pool:
            bodies = pool.map(lambda item: self._body(start + item[0]), missing)
            self._bodies.update(zip(missing, bodies, strict=True))
        return {key: self._bodies[key, etag] for key, etag in listing.items()}

    def digests(self, reference: str) -> dict[str, str]:
        """Return the same with the MD5 of each object's bytes."""
        start = f"{reference}/{self._prefix}"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._repository, Prefix=start)
        return {
            item["Key"].removeprefix(start): item["ETag"].strip('"')
            for page in pages
            for item in page.get("Contents", [])
        }

    def _body(self, key: str) -> bytes:
        with self._s3.get_object(Bucket=self._repository, Key=key)["Body"] as body:
            return body.read()


def folder(root: Path) -> dict[str, bytes]:
    """Return every regular file below a folder: key to bytes."""
    found: dict[str, bytes] = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 - a Path would be slow for thousands
            with open(path, "rb") as file:  # noqa: PTH123
                found[IMAGES + os.path.relpath(path, root)] = file.read()
    return found


def assert_same(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> None:
    """Fail unless both hold the same keys and bytes; says what is missing, extra and different."""
    missing = sorted(expected.keys() - found.keys())
    extra = sorted(found.keys() - expected.keys())
    different = sorted(key for key in found.keys() & expected.keys() if found[key] != expected[key])
    said = [
        f"{len(keys)} {what}: {keys[:MOST_SHOWN]}"
        for what, keys in (("missing", missing), ("extra", extra), ("different", different))
        if keys
    ]
    assert not said, "the snapshot is not what the source holds; " + "; ".join(said)
