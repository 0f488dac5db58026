"""What every version store tells of commits, objects and differences."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from syncd.errors import NotFoundStoreError

if TYPE_CHECKING:
    from tests.support.stores import Stores


async def test_the_log_is_newest_first_and_limited(stores: Stores) -> None:
    made = []
    for number in range(5):
        await stores.put("images/1.jpg", str(number).encode())
        made.append(await stores.commit(f"number {number}"))

    everything = [commit async for commit in stores.versions.log("staging")]
    assert [commit.id for commit in everything[:5]] == made[::-1]
    assert len(everything) == 6, "the repository's first commit is one too"
    assert [commit.id async for commit in stores.versions.log("staging", limit=2)] == made[:2:-1]
    assert [commit.id async for commit in stores.versions.log(made[2], limit=1)] == [made[2]]
    assert [commit async for commit in stores.versions.log("staging", limit=0)] == []


async def test_a_commit_is_found_by_tag_branch_id_and_the_beginning_of_its_id(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    commit_id = await stores.commit("the one", colour="red")
    await stores.versions.create_tag("v1", commit_id)
    await stores.put("images/2.jpg", b"two")  # not committed: it belongs to no commit

    for reference in ("v1", "staging", commit_id, commit_id[:12]):
        found = await stores.versions.find_commit(reference)
        assert (found.id, found.message, found.metadata["colour"]) == (commit_id, "the one", "red")


@pytest.mark.parametrize("reference", ["v2", "0123456789ab", "no/such", "ünï", "a b", "../x", "%2e", "x" * 200])
async def test_a_reference_that_means_nothing_is_not_found(stores: Stores, reference: str) -> None:
    await stores.put("images/1.jpg", b"one")
    await stores.versions.create_tag("v1", await stores.commit())
    with pytest.raises(NotFoundStoreError):
        await stores.versions.find_commit(reference)


async def test_objects_of_a_branch_include_what_is_staged_and_those_of_a_commit_do_not(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    await stores.put("images/2.jpg", b"two")
    commit_id = await stores.commit()
    await stores.put("images/3.jpg", b"three")
    await stores.objects.delete(["images/1.jpg"])

    assert await stores.keys("staging") == ["images/2.jpg", "images/3.jpg"]
    assert await stores.keys(commit_id) == ["images/1.jpg", "images/2.jpg"]


async def test_objects_carry_their_digests_and_are_limited_to_a_prefix(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    await stores.put("tables/labels.csv", b"key,image\n")

    found = [row async for row in stores.versions.objects("staging", "tables/")]

    assert len(found) == 1
    assert (found[0].key, found[0].size_bytes) == ("tables/labels.csv", 10)
    assert found[0].sha256 == stores.fingerprint(b"key,image\n").sha256
    assert found[0].etag == stores.fingerprint(b"key,image\n").md5.hex()


async def test_more_objects_and_changes_than_a_page_are_all_listed_in_order(stores: Stores) -> None:
    expected = [f"images/{number:05}.jpg" for number in range(2003)]
    async with asyncio.TaskGroup() as tasks:
        for key in expected:
            tasks.create_task(stores.put(key, b"x"))

    assert await stores.keys("staging") == expected
    assert await stores.changes() == [("added", key) for key in expected]
    commit_id = await stores.commit()
    assert await stores.keys(commit_id) == expected
    assert len([row async for row in stores.versions.diff("main", commit_id)]) == 2003


async def test_a_diff_compares_contents_from_left_to_right(stores: Stores) -> None:
    await stores.put("a-removed", b"one")
    await stores.put("b-changed", b"one")
    await stores.put("c-same", b"one")
    left = await stores.commit()
    await stores.objects.delete(["a-removed"])
    await stores.put("b-changed", b"twelve")
    await stores.put("d-added", b"one")
    right = await stores.commit()

    found = [(row.kind, row.key) async for row in stores.versions.diff(left, right)]
    assert found == [("removed", "a-removed"), ("changed", "b-changed"), ("added", "d-added")]
    back = [(row.kind, row.key) async for row in stores.versions.diff(right, left)]
    assert back == [("added", "a-removed"), ("changed", "b-changed"), ("removed", "d-added")]
    assert [row async for row in stores.versions.diff(left, left)] == []


async def test_a_commit_never_changes(stores: Stores) -> None:
    """P6: what is staged and committed later leaves it as it was."""
    await stores.put("images/1.jpg", b"one")
    first = await stores.commit()
    await stores.put("images/1.jpg", b"two")
    await stores.put("images/2.jpg", b"two")
    await stores.commit()

    found = [row async for row in stores.versions.objects(first, "")]
    assert [(row.key, row.sha256) for row in found] == [("images/1.jpg", stores.fingerprint(b"one").sha256)]


async def test_a_diff_tells_digests_and_sizes_and_is_limited_to_a_prefix(stores: Stores) -> None:
    """Of what is there on the right, or was on the left alone: nothing needs to be looked up for it."""
    contents = {"images/1.jpg": b"one", "images/2.jpg": b"two", "tables/labels.csv": b"id"}
    for key, content in contents.items():
        await stores.put(key, content)
    left = await stores.commit()
    contents |= {"images/1.jpg": b"another", "images/3.jpg": b"three"}
    await stores.put("images/1.jpg", b"another")
    await stores.put("images/3.jpg", b"three")
    await stores.objects.delete(["images/2.jpg", "tables/labels.csv"])
    right = await stores.commit()

    found = [row async for row in stores.versions.diff(left, right, "images/")]
    assert [(row.kind, row.key) for row in found] == [
        ("changed", "images/1.jpg"),
        ("removed", "images/2.jpg"),
        ("added", "images/3.jpg"),
    ]
    for row in found:
        assert row.size_bytes == len(contents[row.key])
        assert row.sha256 == stores.fingerprint(contents[row.key]).sha256


async def test_the_log_can_be_of_a_path_or_a_folder(stores: Stores) -> None:
    """A merge is none of its commits: it brings what its parents changed."""
    made = {}
    for number, key in enumerate(["images/a/1.jpg", "images/b/1.jpg", "images/a/1.jpg", "images/a/10.jpg"]):
        await stores.put(key, str(number).encode())
        made[number] = await stores.commit()
    await stores.publish()
    await stores.objects.delete(["images/a/1.jpg"])
    made[4] = await stores.commit()
    await stores.publish()

    async def commits(*paths: str, limit: int = 100) -> list[str]:
        return [commit.id async for commit in stores.versions.log("main", paths=paths, limit=limit)]

    assert await commits("images/a/1.jpg") == [made[4], made[2], made[0]]
    assert await commits("images/a/1.jpg", limit=2) == [made[4], made[2]]
    assert await commits("images/a/") == [made[4], made[3], made[2], made[0]]
    assert await commits("images/b/", "images/a/10.jpg") == [made[3], made[1]]
    assert await commits("images/a") == []
