"""What every object store does. Cites the promises of the design by number."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import io
import os
from typing import TYPE_CHECKING

import pytest

from syncd.errors import ContentChangedStoreError, NeedsPersonStoreError, NotFoundStoreError, PermanentStoreError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stores import Server, Stores

ODD_NAMES = [
    "plain.jpg",
    "with space.jpg",
    " leading and trailing ",
    "plus+a.jpg",
    "per%20cent.jpg",
    "per%cent.jpg",
    "hash#q?.jpg",
    "amp&eq=.jpg",
    "composed-\u00e9.jpg",
    "decomposed-e\u0301.jpg",
    "漢字-😀.jpg",
    "quote'\".jpg",
    "back\\slash.jpg",
    "a/../b.jpg",
    "../up.jpg",
    "./dot.jpg",
    "..",
    ".",
    "a//b.jpg",
    "/leading.jpg",
    "trailing/",
    "trailing.",
    "~tilde;semi:colon*star|pipe",
    "<xml>&amp;",
    "[brackets]{braces}^`",
    "\u202ertl",
    "line\u2028separator",
    "not-a-character-\ufffe",
    "nor-this-\uffff",
    "private-\ue000",
    "L" * 1024,
    "é" * 512,
]


async def test_what_is_put_is_read_back_with_its_digests(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")

    found = await stores.objects.head("images/1.jpg")
    assert found is not None
    assert (found.key, found.size_bytes) == ("images/1.jpg", 3)
    assert found.sha256 == stores.fingerprint(b"one").sha256
    assert found.etag == stores.fingerprint(b"one").md5.hex()
    assert await stores.objects.get("images/1.jpg") == b"one"


async def test_an_empty_object_is_an_object(stores: Stores) -> None:
    await stores.put("images/empty.jpg", b"")
    assert await stores.objects.get("images/empty.jpg") == b""


async def test_an_object_that_is_not_there_is_none_or_not_found(stores: Stores) -> None:
    assert await stores.objects.head("images/none.jpg") is None
    with pytest.raises(NotFoundStoreError):
        await stores.objects.get("images/none.jpg")


async def test_a_second_put_replaces_the_first(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    await stores.put("images/1.jpg", b"two")
    assert await stores.objects.get("images/1.jpg") == b"two"


async def test_odd_names_come_back_byte_for_byte(stores: Stores) -> None:
    """P1: a name that lakeFS can hold is not lost or changed on the way."""
    for number, name in enumerate(ODD_NAMES):
        await stores.put(name, str(number).encode())

    for number, name in enumerate(ODD_NAMES):
        assert await stores.objects.get(name) == str(number).encode(), name
    assert sorted(await stores.keys("staging")) == sorted(ODD_NAMES)

    outcome = await stores.objects.delete(ODD_NAMES)
    assert outcome.deleted == frozenset(ODD_NAMES)
    assert not outcome.failed
    assert await stores.keys("staging") == []


async def test_what_a_commit_holds_is_copied_with_all_that_belongs_to_it(stores: Stores) -> None:
    for number, name in enumerate(ODD_NAMES):
        await stores.put(name, str(number).encode())
    commit_id = await stores.commit()
    await stores.objects.delete(list(ODD_NAMES))
    for number, name in enumerate(ODD_NAMES):
        content = str(number).encode()
        await stores.objects.copy(name, commit_id, f"moved/{number}", stores.fingerprint(content))
        found = await stores.objects.head(f"moved/{number}")
        assert found is not None
        assert found.sha256 == stores.fingerprint(content).sha256
        assert found.etag == stores.fingerprint(content).md5.hex()
        assert await stores.objects.get(f"moved/{number}") == content
    assert sorted(await stores.keys("staging")) == sorted(f"moved/{number}" for number in range(len(ODD_NAMES)))


async def test_a_copy_under_the_name_it_had_before_is_no_change(stores: Stores) -> None:
    """P3: nothing but the content decides, however it came there."""
    await stores.put("images/1.jpg", b"one")
    commit_id = await stores.commit()
    await stores.objects.delete(["images/1.jpg"])
    await stores.objects.copy("images/1.jpg", commit_id, "images/1.jpg", stores.fingerprint(b"one"))
    assert await stores.changes() == []


async def test_a_copy_of_nothing_or_of_something_else_is_refused(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    commit_id = await stores.commit()
    with pytest.raises(PermanentStoreError):
        await stores.objects.copy("images/none.jpg", commit_id, "images/2.jpg", stores.fingerprint(b"one"))
    with pytest.raises(PermanentStoreError):
        await stores.objects.copy("images/1.jpg", "0" * 64, "images/2.jpg", stores.fingerprint(b"one"))
    assert await stores.objects.head("images/2.jpg") is None
    with pytest.raises(ContentChangedStoreError):
        await stores.objects.copy("images/1.jpg", commit_id, "images/2.jpg", stores.fingerprint(b"two"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "two\nlines.jpg",
        "nul\0.jpg",
        "del\x7f.jpg",
        "L" * 1025,
        "é" * 513,
        "_lakefs_actions/hook.yaml",
        "\udcff.jpg",
    ],
)
async def test_a_key_that_does_harm_is_refused(stores: Stores, key: str) -> None:
    fingerprint = stores.fingerprint(b"x")
    with pytest.raises(PermanentStoreError):
        await stores.objects.put(key, b"x", fingerprint, "image/jpeg")
    with pytest.raises(PermanentStoreError):
        await stores.objects.get(key)
    assert await stores.keys("staging") == []


async def test_a_key_that_does_harm_spoils_no_other_deletion(stores: Stores) -> None:
    """P8: the rest is deleted, and the one that cannot be is named."""
    await stores.put("nl", b"the key that a newline would delete instead")
    await stores.put("images/1.jpg", b"one")

    outcome = await stores.objects.delete(["images/1.jpg", "", "nl\nx.jpg", "L" * 1025, "images/none.jpg"])

    assert outcome.deleted == {"images/1.jpg", "images/none.jpg"}
    assert set(outcome.failed) == {"", "nl\nx.jpg", "L" * 1025}
    assert all(isinstance(error, PermanentStoreError) for error in outcome.failed.values())
    assert await stores.keys("staging") == ["nl"]


@pytest.mark.parametrize("size_bytes", [10, 2_000_000])
async def test_bytes_that_are_not_the_fingerprints_are_refused_and_not_kept(stores: Stores, size_bytes: int) -> None:
    """P2: a file that changed under way never becomes an object."""
    content = os.urandom(size_bytes)
    promised = stores.fingerprint(content)
    altered = content[:-1] + bytes([content[-1] ^ 1])

    for body in (altered, io.BytesIO(altered)):
        with pytest.raises(ContentChangedStoreError):
            await stores.objects.put("images/1.jpg", body, promised, "image/jpeg")
        assert await stores.objects.head("images/1.jpg") is None


@pytest.mark.parametrize("size_bytes", [10, 2_000_000])
@pytest.mark.parametrize("change_bytes", [-1, 1])
async def test_a_body_of_another_length_is_refused_and_not_kept(
    stores: Stores, size_bytes: int, change_bytes: int
) -> None:
    """P2, for a file that grew or shrank."""
    promised = stores.fingerprint(bytes(size_bytes))
    changed = bytes(size_bytes + change_bytes)
    for body in (changed, io.BytesIO(changed)):
        with pytest.raises(ContentChangedStoreError):
            await stores.objects.put("images/1.jpg", body, promised, "image/jpeg")
        assert await stores.objects.head("images/1.jpg") is None


@pytest.mark.parametrize("size_bytes", [10, 2_000_000])
async def test_a_body_that_cannot_be_read_is_one_that_is_not_the_fingerprints(stores: Stores, size_bytes: int) -> None:
    """P8: a disk's error is that of one file."""
    content = bytes(size_bytes)
    with pytest.raises(ContentChangedStoreError):
        await stores.objects.put("images/1.jpg", _Unreadable(content), stores.fingerprint(content), "image/jpeg")
    assert await stores.objects.head("images/1.jpg") is None


class _Unreadable(io.BytesIO):
    def read(self, _size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


async def test_an_etag_that_differs_is_an_error(stores: Stores) -> None:
    wrong = dataclasses.replace(stores.fingerprint(b"one"), md5=bytes(16))
    with pytest.raises(ContentChangedStoreError):
        await stores.objects.put("images/1.jpg", b"one", wrong, "image/jpeg")


async def test_a_large_file_is_streamed(stores: Stores, tmp_path: Path) -> None:
    content = os.urandom(50 * 1024 * 1024)
    path = tmp_path / "large.tif"
    path.write_bytes(content)
    with path.open("rb", buffering=0) as file:
        await stores.objects.put("images/large.tif", file, stores.fingerprint(content), "image/tiff")
    assert await stores.objects.get("images/large.tif") == content


async def test_a_large_object_is_handed_on_in_pieces_as_fast_as_they_are_taken(stores: Stores) -> None:
    content = os.urandom(5 * 1024 * 1024 + 7)
    await stores.put("images/large.jpg", content)
    taken: list[bytes] = []

    async def take(piece: bytes) -> None:
        await asyncio.sleep(0.001)
        taken.append(piece)

    await stores.objects.fetch("images/large.jpg", take)
    assert b"".join(taken) == content
    assert max(map(len, taken)) <= 1024 * 1024
    with pytest.raises(NotFoundStoreError):
        await stores.objects.fetch("images/none.jpg", take)


@pytest.mark.parametrize("size_bytes", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 2 * 1024 * 1024])
async def test_bodies_of_every_size_arrive_whole(stores: Stores, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    fingerprint = stores.fingerprint(content)
    await stores.objects.put("from-bytes", content, fingerprint, "image/png")
    await stores.objects.put("from-file", io.BytesIO(content), fingerprint, "image/png")
    assert await stores.objects.get("from-bytes") == await stores.objects.get("from-file") == content


async def test_many_puts_at_a_time_all_arrive(stores: Stores) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(300):
            tasks.create_task(stores.put(f"images/{number:03}.jpg", str(number).encode()))
    assert await stores.keys("staging") == [f"images/{number:03}.jpg" for number in range(300)]


async def test_a_thousand_keys_are_deleted_whether_they_exist_or_not(stores: Stores) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(0, 1000, 10):
            tasks.create_task(stores.put(f"images/{number}.jpg", b"x"))
    await stores.put("images/stays.jpg", b"x")
    doomed = [f"images/{number}.jpg" for number in range(1000)]

    outcome = await stores.objects.delete(doomed)

    assert outcome.deleted == frozenset(doomed)
    assert outcome.failed == {}
    assert await stores.keys("staging") == ["images/stays.jpg"]


async def test_deleting_more_than_a_thousand_keys_or_none_works(stores: Stores) -> None:
    await stores.put("images/2500.jpg", b"x")
    doomed = [f"images/{number}.jpg" for number in range(2501)]
    assert (await stores.objects.delete(doomed)).deleted == frozenset(doomed)
    assert (await stores.objects.delete([])).deleted == frozenset()
    assert await stores.keys("staging") == []


async def test_a_missing_branch_refuses_a_put_and_holds_nothing(stores: Stores) -> None:
    async with stores.server.open(stores.repository, "gone") as gone:
        with pytest.raises(NeedsPersonStoreError):
            await gone.put("images/1.jpg", b"x")
        assert await gone.objects.head("images/1.jpg") is None
        with pytest.raises(NotFoundStoreError):
            await gone.objects.get("images/1.jpg")


async def test_deletions_on_a_missing_branch_are_called_done(stores: Stores) -> None:
    """Why the caller checks the branch before it deletes: the server says that it did what it could not."""
    async with stores.server.open(stores.repository, "gone") as gone:
        outcome = await gone.objects.delete(["images/1.jpg"])
    assert outcome.deleted == {"images/1.jpg"}
    assert outcome.failed == {}


async def test_a_missing_repository_refuses_everything(server: Server, repository_name: str) -> None:
    async with server.open(repository_name) as stores:
        with pytest.raises(NeedsPersonStoreError):
            await stores.put("images/1.jpg", b"x")
        with pytest.raises(NeedsPersonStoreError):
            await stores.objects.get("images/1.jpg")
        with pytest.raises(NeedsPersonStoreError):
            await stores.objects.delete(["images/1.jpg"])
        assert await stores.objects.head("images/1.jpg") is None
