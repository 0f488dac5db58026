"""Reads snapshots back with boto3 alone, and compares them byte for byte. No code of syncd's takes part."""

from __future__ import annotations

import io
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from botocore.session import Session
from pyarrow import parquet

from syncd.demo.rows import ROWS, TABLE, as_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROCESSES = 2
READERS = 4  # threads of each
_NO_ENVIRONMENT = {  # botocore's (config file's name, environment variable, default, conversion)
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to read, as any S3 client needs it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    repository: str


class Witness:
    """Reads snapshots, in processes of its own: boto3 keeps one processor busy for each; a context manager."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._processes = ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._processes.shutdown(cancel_futures=True)

    def read(self, tag: str) -> dict[str, bytes]:
        """Return every object of a tag: its path below the tag, and its bytes."""
        with closing(_client(self._address)) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._address.repository, Prefix=f"{tag}/")
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        shares = [keys[start::PROCESSES] for start in range(PROCESSES)]
        found: dict[str, bytes] = {}
        for share, bodies in zip(shares, self._processes.map(_fetch, repeat(self._address), shares), strict=True):
            found |= zip(share, bodies, strict=True)
        return with_rows({key.removeprefix(f"{tag}/"): body for key, body in found.items()})


def _fetch(address: Address, keys: Sequence[str]) -> list[bytes]:
    """Return the bytes of some objects; the work of one process."""
    with closing(_client(address)) as client, ThreadPoolExecutor(READERS) as readers:

        def fetch(key: str) -> bytes:
            body: bytes = client.get_object(Bucket=address.repository, Key=key)["Body"].read()
            return body

        return list(readers.map(fetch, keys))


def with_rows(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Put the rows of the database's table in the place of the files they are in."""
    parts = [body for path, body in found.items() if path.startswith(TABLE) and path.endswith(".parquet")]
    rows = [tuple(row.values()) for part in parts for row in parquet.read_table(io.BytesIO(part)).to_pylist()]
    others = {path: body for path, body in found.items() if not path.startswith(TABLE)}
    return others | ({ROWS: as_bytes(rows)} if parts else {})


def differences(found: Mapping[str, bytes], states: Sequence[Mapping[str, bytes]]) -> list[str]:
    """Return in words where a snapshot differs from what the folder held.

    Args:
        found: The snapshot.
        states: What the folder held at that moment; the state before and the one after, if it was made between.
    """
    faults = []
    for path in sorted(found.keys() | {path for state in states for path in state}):
        allowed = [state.get(path) for state in states]
        if found.get(path) in allowed:
            continue
        if path not in found:
            faults.append(f"{path} is missing")
        elif allowed.count(None) == len(allowed):
            faults.append(f"{path} should not be there")
        else:
            faults.append(f"{path} has other bytes")
    return faults


def _client(address: Address) -> Any:
    """Return a client that neither proxies nor the AWS tools' files and variables lead elsewhere."""
    session = boto3.Session(botocore_session=Session(session_vars=_NO_ENVIRONMENT))
    return session.client(
        "s3",
        endpoint_url=address.endpoint,
        aws_access_key_id=address.access_key_id,
        aws_secret_access_key=address.secret_access_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, proxies={}, max_pool_connections=READERS),
    )
