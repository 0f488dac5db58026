"""What lakeFS does that harms a client which does not know of it, and that syncd's store takes no harm from it.

Each trap is sprung with a client that is not syncd's; beside it stands what syncd does on the same server. When one of
the former fails after an update of lakeFS, what syncd does about that trap may be more than is needed.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest
from botocore.exceptions import ClientError

from syncd.errors import NothingToCommitError, PermanentStoreError, TransientStoreError
from tests.support.parts import PART_BYTES, upload_in_parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mypy_boto3_s3 import S3Client

    from syncd.embedded.process import ServerProcess
    from tests.support.stores import Stores

pytestmark = pytest.mark.lakefs

TOO_LONG = "L" * 1025
TRIES = 20
PATIENCE_S = 10.0
PUTTERS = 4


@pytest.fixture(scope="session")
def outsider(lakefs_server: ServerProcess, s3_for: Callable[..., S3Client]) -> S3Client:
    """A plain client that sends each request once."""
    return s3_for(lakefs_server, retries={"total_max_attempts": 1})


def delete_together(outsider: S3Client, stores: Stores, *keys: str) -> tuple[set[str], set[str]]:
    """Delete keys of the staging branch in one request; return those called deleted, and those called failed."""
    named = [{"Key": f"staging/{key}"} for key in keys]
    answer = outsider.delete_objects(Bucket=stores.repository, Delete={"Objects": named})
    deleted, failed = (
        {entry["Key"].removeprefix("staging/") for entry in answer.get(kind, ())} for kind in ("Deleted", "Errors")
    )
    return deleted, failed


async def test_a_line_break_in_a_deletion_of_many_deletes_another_key(real_stores: Stores, outsider: S3Client) -> None:
    await real_stores.put("nl", b"of another name")
    deleted, failed = delete_together(outsider, real_stores, "nl\nx.jpg")
    assert (deleted, failed) == ({"nl\nx.jpg"}, set())
    assert await real_stores.keys("staging") == []


async def test_syncd_deletes_no_other_key_for_a_line_break(real_stores: Stores) -> None:
    await real_stores.put("nl", b"of another name")
    outcome = await real_stores.objects.delete(["nl\nx.jpg"])
    assert (outcome.deleted, outcome.failed.keys()) == (set(), {"nl\nx.jpg"})
    assert await real_stores.keys("staging") == ["nl"]


@pytest.mark.parametrize(("bad", "said"), [("", "deleted"), (TOO_LONG, "failed")], ids=["empty", "too-long"])
async def test_one_bad_key_spoils_a_deletion_of_many(
    real_stores: Stores, outsider: S3Client, bad: str, said: str
) -> None:
    """Nothing is deleted, and with an empty path everything is called deleted."""
    await real_stores.put("images/1.jpg", b"one")
    deleted, failed = delete_together(outsider, real_stores, "images/1.jpg", bad)
    all_of_it, nothing = {"images/1.jpg", bad}, set[str]()
    assert (deleted, failed) == ((all_of_it, nothing) if said == "deleted" else (nothing, all_of_it))
    assert await real_stores.keys("staging") == ["images/1.jpg"]


@pytest.mark.parametrize("bad", ["", TOO_LONG], ids=["empty", "too-long"])
async def test_syncd_deletes_the_others_beside_a_bad_key(real_stores: Stores, bad: str) -> None:
    await real_stores.put("images/1.jpg", b"one")
    outcome = await real_stores.objects.delete(["images/1.jpg", bad])
    assert (outcome.deleted, outcome.failed.keys()) == ({"images/1.jpg"}, {bad})
    assert await real_stores.keys("staging") == []


def blobs(server: ServerProcess, stores: Stores) -> int:
    """Count the files that the server's storage holds for a repository."""
    below = server.installation.directory / "block" / stores.repository
    return sum(path.is_file() for path in below.rglob("*"))


async def test_a_key_that_is_too_long_is_called_an_internal_error_and_its_bytes_stay_in_the_storage(
    real_stores: Stores, outsider: S3Client, lakefs_server: ServerProcess
) -> None:
    await real_stores.put("images/1.jpg", b"one")
    before = blobs(lakefs_server, real_stores)
    for tried in range(1, 4):
        with pytest.raises(ClientError) as caught:
            outsider.put_object(Bucket=real_stores.repository, Key=f"staging/{TOO_LONG}", Body=b"one")
        answer = caught.value.response
        assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (500, "InternalError")
        assert blobs(lakefs_server, real_stores) == before + tried > tried
    assert await real_stores.keys("staging") == ["images/1.jpg"]


async def test_syncd_sends_nothing_of_a_key_that_is_too_long(real_stores: Stores, lakefs_server: ServerProcess) -> None:
    await real_stores.put("images/1.jpg", b"one")
    before = blobs(lakefs_server, real_stores)
    with pytest.raises(PermanentStoreError, match="1,024"):
        await real_stores.put(TOO_LONG, b"one")
    assert blobs(lakefs_server, real_stores) == before > 0


async def reads_for_a_look(stores: Stores, server: ServerProcess, key: str) -> int:
    """Return how many reads of its own database the server makes to look up a key; the least of some looks."""
    costs = []
    for _ in range(5):
        before = await _database_reads(server)
        assert await stores.objects.head(key) is not None
        costs.append(await _database_reads(server) - before)
    return min(costs)


async def _database_reads(server: ServerProcess) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{server.endpoint}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    counts = [line for line in lines if line.startswith('kv_request_duration_seconds_count{operation="Get"')]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in counts)


@pytest.fixture
async def committed(real_stores: Stores) -> Stores:
    """One committed object, and nothing uncommitted."""
    await real_stores.put("images/1.jpg", b"one")
    await real_stores.commit()
    return real_stores


async def test_each_commit_that_finds_nothing_makes_later_looks_dearer_until_one_succeeds(
    committed: Stores, lakefs_server: ServerProcess
) -> None:
    before = await reads_for_a_look(committed, lakefs_server, "images/1.jpg")
    for _ in range(TRIES):
        with pytest.raises(NothingToCommitError):
            await committed.commit()
    assert await reads_for_a_look(committed, lakefs_server, "images/1.jpg") == before + TRIES > TRIES
    await committed.put("images/2.jpg", b"two")
    await committed.commit()
    assert await reads_for_a_look(committed, lakefs_server, "images/1.jpg") == before


async def test_what_syncd_asks_before_a_commit_makes_nothing_dearer(
    committed: Stores, lakefs_server: ServerProcess
) -> None:
    before = await reads_for_a_look(committed, lakefs_server, "images/1.jpg")
    for _ in range(TRIES):
        assert await committed.changes() == []
    assert await reads_for_a_look(committed, lakefs_server, "images/1.jpg") == before > 0


@asynccontextmanager
async def commits(stores: Stores) -> AsyncIterator[list[str]]:
    """Commit the staging branch again and again; yields the ids."""
    made: list[str] = []
    ended = asyncio.Event()

    async def go_on() -> None:
        while not ended.is_set():
            with suppress(NothingToCommitError):
                made.append(await stores.commit())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(go_on())
        try:
            yield made
        finally:
            ended.set()


async def test_an_upload_that_must_replace_nothing_is_refused_falsely_while_a_commit_runs(
    real_stores: Stores, outsider: S3Client
) -> None:
    refused: list[str] = []
    until = time.monotonic() + PATIENCE_S

    async def put_new_ones(who: int) -> None:
        for number in itertools.count():
            if refused or time.monotonic() > until:
                return
            place = {"Bucket": real_stores.repository, "Key": f"staging/{who}/{number}"}
            try:
                await asyncio.to_thread(outsider.put_object, **place, Body=b"x", IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] == "PreconditionFailed":
                    refused.append(place["Key"])

    async with commits(real_stores):
        await asyncio.gather(*map(put_new_ones, range(PUTTERS)))
    assert refused, "though each key was a new one"


async def test_no_upload_of_syncds_is_refused_while_a_commit_runs(real_stores: Stores) -> None:
    keys = [f"{who}/{number}" for who in range(PUTTERS) for number in range(100)]

    async def put(key: str) -> None:
        try:
            await real_stores.put(key, key.encode())
        except TransientStoreError:  # several commits began while it was written
            await put(key)

    async def put_some(who: int) -> None:
        for key in keys[who::PUTTERS]:
            await put(key)

    async with commits(real_stores) as made:
        await asyncio.gather(*map(put_some, range(PUTTERS)))
    assert len(made) > 3
    assert await real_stores.keys("staging") == sorted(keys)


async def test_the_etag_of_an_upload_in_parts_looks_like_an_md5_and_is_none(
    real_stores: Stores, outsider: S3Client
) -> None:
    parts = [os.urandom(PART_BYTES), b"the rest"]
    said = upload_in_parts(outsider, real_stores.repository, "staging/images/large.tif", parts)
    seen = outsider.head_object(Bucket=real_stores.repository, Key="staging/images/large.tif")["ETag"].strip('"')
    assert said == f"{seen}-2"
    assert len(bytes.fromhex(seen)) == 16
    content = outsider.get_object(Bucket=real_stores.repository, Key="staging/images/large.tif")["Body"].read()
    assert content == b"".join(parts)
    assert seen != real_stores.fingerprint(content).md5.hex()


async def test_what_syncd_knows_of_a_content_is_no_etag_of_parts(real_stores: Stores, outsider: S3Client) -> None:
    """Its own large file is one upload, and of another's nothing is known."""
    content = os.urandom(PART_BYTES) + b"the rest"
    upload_in_parts(
        outsider, real_stores.repository, "staging/images/theirs.tif", [content[:PART_BYTES], content[PART_BYTES:]]
    )
    await real_stores.put("images/ours.tif", content)
    known = {found.key: (found.sha256, found.etag) async for found in real_stores.versions.objects("staging", "")}
    ours, theirs = known["images/ours.tif"], known["images/theirs.tif"]
    assert ours == (hashlib.sha256(content).digest(), real_stores.fingerprint(content).md5.hex())
    assert theirs[0] is None
    assert (await real_stores.objects.head("images/theirs.tif")).sha256 is None
