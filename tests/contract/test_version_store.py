"""What every version store does. Cites the promises of the design by number."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from syncd.errors import (
    ConflictStoreError,
    NeedsPersonStoreError,
    NotFoundStoreError,
    NothingToCommitError,
    PermanentStoreError,
)

if TYPE_CHECKING:
    from tests.support.stores import Server, Stores


async def test_a_repository_is_created_once(server: Server, repository_name: str) -> None:
    async with server.open(repository_name) as stores:
        assert await stores.versions.ensure_repository(f"local://{repository_name}", "published") is True
        assert await stores.versions.ensure_repository(f"local://{repository_name}", "published") is False
        assert (await stores.versions.head("published")).parents == ()


async def test_several_who_create_the_same_at_once_all_find_it(server: Server, repository_name: str) -> None:
    async with server.open(repository_name) as stores:
        versions = stores.versions
        namespace = f"local://{repository_name}"
        creating = (versions.ensure_repository(namespace, "main") for _ in range(4))
        made = await asyncio.gather(*creating, return_exceptions=True)
        # lakeFS takes the namespace before the repository shows: one who comes in between is told that it is in use
        assert made.count(True) == 1
        assert all(
            answer is False or isinstance(answer, NeedsPersonStoreError) for answer in made if answer is not True
        )
        assert await versions.ensure_repository(namespace, "main") is False
        branched = await asyncio.gather(*(versions.ensure_branch("staging", "main") for _ in range(4)))
        assert sorted(branched) == [False, False, False, True]
        head = await versions.head("staging")
        await asyncio.gather(*(versions.create_tag("v1", head.id) for _ in range(4)))


@pytest.mark.parametrize(
    ("namespace", "branch"),
    [("", "main"), ("local", "main"), ("ftp://host/x", "main"), ("local://fine", "not/a/branch")],
)
async def test_a_name_that_cannot_work_is_refused_before_anything_is_created(
    server: Server, repository_name: str, namespace: str, branch: str
) -> None:
    async with server.open(repository_name) as stores:
        with pytest.raises(NeedsPersonStoreError):
            await stores.versions.ensure_repository(namespace, branch)
        with pytest.raises(NotFoundStoreError):
            await stores.versions.head("main")


async def test_a_repository_name_that_lakefs_refuses_is_explained(server: Server) -> None:
    async with server.open("No_Such-Name") as stores:
        with pytest.raises(NeedsPersonStoreError, match="lower-case letters"):
            await stores.versions.ensure_repository("local://fine", "main")


async def test_a_storage_namespace_in_use_is_refused(stores: Stores, server: Server) -> None:
    async with server.open(f"{stores.repository}-too") as second:
        with pytest.raises(NeedsPersonStoreError):
            await second.versions.ensure_repository(f"local://{stores.repository}", "main")


async def test_the_default_branch_is_known_once_there_is_a_repository(stores: Stores) -> None:
    assert await stores.versions.default_branch() == "main"
    await stores.versions.ensure_branch("other", "main")
    assert await stores.versions.default_branch() == "main"


async def test_a_branch_is_created_once_at_the_head_of_its_source(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    commit_id = await stores.commit()
    assert await stores.versions.ensure_branch("other", "staging") is True
    assert await stores.versions.ensure_branch("other", "main") is False
    assert (await stores.versions.head("other")).id == commit_id


async def test_a_branch_cannot_be_created_from_nothing_or_with_a_bad_name(stores: Stores) -> None:
    with pytest.raises(NotFoundStoreError):
        await stores.versions.ensure_branch("other", "gone")
    with pytest.raises(PermanentStoreError):
        await stores.versions.ensure_branch("a/b", "main")


async def test_a_commit_carries_its_message_metadata_parent_and_time(stores: Stores) -> None:
    before = await stores.versions.head("staging")
    await stores.put("images/1.jpg", b"one")
    metadata = {"syncd.snapshot": "intent 1", "syncd.images": "1", "wörter": "größe\nüber 漢字"}

    made = await stores.versions.commit("staging", "nightly: ünïcode", metadata)

    assert made == await stores.versions.head("staging")
    assert (made.message, dict(made.metadata)) == ("nightly: ünïcode", metadata)
    assert made.parents == (before.id,)
    assert made.created_at.tzinfo is UTC
    assert made.created_at > datetime(2025, 1, 1, tzinfo=UTC)


async def test_a_branch_without_changes_has_nothing_to_commit(stores: Stores) -> None:
    with pytest.raises(NothingToCommitError):
        await stores.commit()
    await stores.put("images/1.jpg", b"one")
    await stores.commit()
    with pytest.raises(NothingToCommitError):
        await stores.commit()


async def test_staging_what_is_there_already_changes_nothing(stores: Stores) -> None:
    """P7: an equal object is no difference."""
    await stores.put("images/1.jpg", b"one")
    assert await stores.changes()
    await stores.commit()

    await stores.put("images/1.jpg", b"one")
    assert not await stores.changes()
    await stores.put("images/2.jpg", b"two")
    await stores.objects.delete(["images/2.jpg", "images/3.jpg"])
    assert await stores.changes() == []

    fingerprint = stores.fingerprint(b"one")
    await stores.objects.put("images/1.jpg", b"one", fingerprint, "image/png")
    assert await stores.changes() == [("changed", "images/1.jpg")], "the content type is part of an object"


async def test_uncommitted_changes_are_told_apart(stores: Stores) -> None:
    await stores.put("b-changed", b"one")
    await stores.put("c-removed", b"one")
    await stores.put("d-same", b"one")
    await stores.commit()
    await stores.put("b-changed", b"two")
    await stores.put("a-added", b"one")
    await stores.objects.delete(["c-removed"])

    assert await stores.changes() == [("added", "a-added"), ("changed", "b-changed"), ("removed", "c-removed")]


async def test_a_merge_of_a_commit_publishes_that_and_nothing_later(stores: Stores) -> None:
    """P9: what someone else commits in between is not published with it."""
    await stores.put("images/1.jpg", b"one")
    commit_id = await stores.commit()
    await stores.put("notes/theirs.txt", b"theirs")
    await stores.commit()

    made = await stores.versions.merge(commit_id, "main", "publish", {})

    assert await stores.keys("main") == ["images/1.jpg"]
    assert commit_id in made.parents


async def test_a_merge_publishes_the_head_and_leaves_what_is_staged(stores: Stores) -> None:
    """P9: the publish branch changes by a merge alone."""
    main = await stores.versions.head("main")
    await stores.put("images/1.jpg", b"one")
    staged = await stores.commit()
    await stores.put("images/2.jpg", b"two")

    made = await stores.versions.merge("staging", "main", "publish", {"syncd.snapshot": "1"})

    assert made == await stores.versions.head("main")
    assert made.parents == (main.id, staged)
    assert (made.message, dict(made.metadata)["syncd.snapshot"]) == ("publish", "1")
    assert await stores.keys("main") == ["images/1.jpg"]


async def test_merging_what_is_there_already_is_nothing(stores: Stores) -> None:
    with pytest.raises(NothingToCommitError):
        await stores.publish()
    await stores.put("images/1.jpg", b"one")
    await stores.commit()
    await stores.publish()
    with pytest.raises(NothingToCommitError):
        await stores.publish()


async def test_the_same_key_changed_on_both_branches_is_a_conflict(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    await stores.commit()
    async with stores.server.open(stores.repository, "main") as main:
        await main.put("images/1.jpg", b"another")
        await main.versions.commit("main", "someone else", {})
        with pytest.raises(ConflictStoreError):
            await stores.publish()
        assert await main.objects.get("images/1.jpg") == b"another"


async def test_a_merge_into_a_branch_with_staged_changes_needs_a_person(stores: Stores) -> None:
    await stores.put("images/1.jpg", b"one")
    await stores.commit()
    async with stores.server.open(stores.repository, "main") as main:
        await main.put("images/other.jpg", b"staged by someone")
        with pytest.raises(NeedsPersonStoreError):
            await stores.publish()


async def test_a_tag_points_at_its_commit_and_may_be_made_again_there(stores: Stores) -> None:
    """P6: making a tag again is harmless, moving it is refused."""
    await stores.put("images/1.jpg", b"one")
    first = await stores.commit()
    await stores.put("images/1.jpg", b"two")
    second = await stores.commit()

    await stores.versions.create_tag("v1", first)
    await stores.versions.create_tag("v1", first)
    with pytest.raises(ConflictStoreError):
        await stores.versions.create_tag("v1", second)

    assert await stores.versions.tag_target("v1") == first
    assert await stores.versions.tag_target("v2") is None


async def test_a_tag_cannot_take_the_name_of_a_branch(stores: Stores) -> None:
    head = await stores.versions.head("main")
    with pytest.raises(ConflictStoreError):
        await stores.versions.create_tag("staging", head.id)


async def test_a_tag_needs_a_commit_that_exists(stores: Stores) -> None:
    with pytest.raises(NotFoundStoreError):
        await stores.versions.create_tag("v1", "0" * 64)


@pytest.mark.parametrize(
    "tag",
    ["", "a b", "a..b", "a@{b", "x.lock", "x.", "@", "2026-11-22T23:57:44Z", "a/b", "a\\b", "a?", "a~1", "$x", "tab\t"],
)
async def test_a_tag_name_that_lakefs_refuses_or_cannot_resolve_is_refused(stores: Stores, tag: str) -> None:
    head = await stores.versions.head("main")
    with pytest.raises(PermanentStoreError):
        await stores.versions.create_tag(tag, head.id)
    assert await stores.versions.tag_target(tag) is None


@pytest.mark.parametrize("tag", ["snap-20261122T235744Z-1", "v1.0", "größe", "a-b_c", "-a", "L" * 255])
async def test_other_tag_names_work(stores: Stores, tag: str) -> None:
    head = await stores.versions.head("main")
    await stores.versions.create_tag(tag, head.id)
    assert await stores.versions.tag_target(tag) == head.id
    assert [commit.id async for commit in stores.versions.log(tag, limit=1)] == [head.id]


async def test_a_missing_branch_is_not_found(stores: Stores) -> None:
    versions = stores.versions
    calls = [
        versions.head("gone"),
        versions.head_id("gone"),
        anext(versions.uncommitted("gone")),
        versions.commit("gone", "m", {}),
        versions.merge("gone", "main", "m", {}),
        versions.merge("staging", "gone", "m", {}),
        stores.keys("gone"),
        stores.changes("gone"),
    ]
    for call in calls:
        with pytest.raises(NotFoundStoreError):
            await call
    for rows in (versions.log("gone"), versions.diff("main", "gone"), versions.diff("gone", "main")):
        with pytest.raises(NotFoundStoreError):
            [row async for row in rows]


async def test_a_missing_repository_is_not_found(server: Server, repository_name: str) -> None:
    async with server.open(repository_name) as stores:
        versions = stores.versions
        calls = [
            versions.head("main"),
            versions.head_id("main"),
            anext(versions.uncommitted("main")),
            versions.commit("main", "m", {}),
            versions.ensure_branch("staging", "main"),
            versions.create_tag("v1", "0" * 64),
            stores.keys("main"),
        ]
        for call in calls:
            with pytest.raises(NotFoundStoreError):
                await call
        assert await versions.tag_target("v1") is None


async def test_the_server_names_its_version(stores: Stores) -> None:
    assert await stores.versions.server_version() == "1.84.0"
