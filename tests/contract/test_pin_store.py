"""Pins on commits: the fake and the real one alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest

from syncd.client.facts import SnapshotFacts
from syncd.client.keeping import keep, let_go
from syncd.errors import NeedsPersonStoreError, NotFoundStoreError
from syncd.snapshots.reference import Pinned
from syncd.store.lakefs_api import LakeFSAPI
from syncd.store.lakefs_pins import LakeFSPins
from syncd.store.lakefs_rows import to_reference
from syncd.store.memory_pins import MemoryPins
from syncd.store.pins import Keeper, Note, Pin

if TYPE_CHECKING:
    from syncd.store.pins import PinStore
    from tests.support.stores import Stores

UNTIL = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOTE = Note(reason="paper v1: „Größe“ \U0001f4cc", who="ann on gpu-3", at=UNTIL.isoformat(), tag="snap-1")
NOWHERE = "0" * 64


class Place(NamedTuple):
    pins: PinStore
    stores: Stores
    commits: list[str]  # two of them


def store(stores: Stores, staging: str = "staging") -> PinStore:
    if isinstance(stores.versions, LakeFSAPI):
        return LakeFSPins(stores.versions.sdk, stores.repository, staging)
    return MemoryPins(stores.versions._repository, staging)


@pytest.fixture
async def place(stores: Stores) -> Place:
    commits = []
    for name in ("a", "b"):
        await stores.put(name, name.encode())
        commits.append(await stores.commit())
    return Place(store(stores), stores, commits)


async def listed(pins: PinStore, keeper: Keeper = Keeper.RETENTION) -> list[Pin]:
    return [pin async for pin in pins.pins(keeper)]


async def test_a_pin_is_made_once_and_removed_once(place: Place) -> None:
    pins, _, (one, other) = place
    assert [await pins.pin(Keeper.RETENTION, commit) for commit in (one, other, one)] == [True, True, False]
    assert await listed(pins) == [Pin(commit, commit) for commit in sorted((one, other))]
    assert [await pins.unpin(Keeper.RETENTION, one) for _ in range(2)] == [True, False]
    assert await listed(pins) == [Pin(other, other)]


async def test_those_of_retention_and_of_people_do_not_know_each_other(place: Place) -> None:
    pins, _, (one, other) = place
    await pins.pin(Keeper.RETENTION, one)
    await pins.pin(Keeper.PERSON, one)
    await pins.pin(Keeper.PERSON, other)
    await pins.unpin(Keeper.RETENTION, one)
    assert await listed(pins) == []
    assert await listed(pins, Keeper.PERSON) == [Pin(commit, commit) for commit in sorted((one, other))]


async def test_people_pin_for_all_and_retention_for_its_own_staging_branch(place: Place) -> None:
    pins, stores, (one, other) = place
    elsewhere = store(stores, "other-staging")
    await pins.pin(Keeper.RETENTION, one)
    await pins.pin(Keeper.PERSON, other)
    assert await listed(elsewhere) == []
    assert await listed(elsewhere, Keeper.PERSON) == [Pin(other, other)]


async def test_a_commit_that_is_not_there_cannot_be_pinned_or_held(place: Place) -> None:
    for keeper in Keeper:
        with pytest.raises(NotFoundStoreError):
            await place.pins.pin(keeper, NOWHERE)
    with pytest.raises(NotFoundStoreError):
        await place.pins.use(NOWHERE, UNTIL)


async def test_a_pin_that_someone_moved_is_shown_where_it_is_and_is_not_taken_for_one(place: Place) -> None:
    pins, stores, (one, other) = place
    branch = f"staging-pin-{one}"
    await stores.versions.ensure_branch(branch, other)
    assert await listed(pins) == [Pin(one, other)]
    with pytest.raises(NeedsPersonStoreError, match=f"{one[:12]} is at another one, {other[:12]}") as raised:
        await pins.pin(Keeper.RETENTION, one)
    assert f"lakectl branch delete lakefs://{stores.repository}/{branch}" in raised.value.next_step


async def test_branches_that_only_begin_like_pins_are_none(place: Place) -> None:
    pins, stores, (one, _) = place
    for branch in ("staging-pin-mine", f"staging-pin-{one}-2", "syncd-keep-this", "syncd-use-it", "syncd-use-12-"):
        await stores.versions.ensure_branch(branch, one)
    assert await listed(pins) == await listed(pins, Keeper.PERSON) == [use async for use in pins.uses()] == []


async def test_what_a_person_says_is_kept_replaced_and_gone_with_the_pin(place: Place) -> None:
    pins, _, (one, other) = place
    await pins.pin(Keeper.PERSON, one)
    assert await pins.note(one) is None
    await pins.write_note(one, NOTE)
    assert await pins.note(one) == NOTE
    await pins.write_note(one, replace(NOTE, reason="paper v2"))
    assert (await pins.note(one)).reason == "paper v2"
    assert await pins.note(other) is None
    await pins.unpin(Keeper.PERSON, one)
    await pins.pin(Keeper.PERSON, one)
    assert await pins.note(one) is None


async def test_what_a_person_says_leaves_what_is_pinned_alone(place: Place) -> None:
    pins, stores, (one, _) = place
    await pins.pin(Keeper.PERSON, one)
    await pins.write_note(one, NOTE)
    assert await listed(pins, Keeper.PERSON) == [Pin(one, one)]
    assert await stores.keys(one) == ["a"]
    assert await stores.changes() == []


async def test_what_is_held_for_pulls_says_until_when(place: Place) -> None:
    pins, _, (one, other) = place
    names = [await pins.use(commit, UNTIL + timedelta(seconds=n)) for n, commit in enumerate((one, one, other))]
    found = [use async for use in pins.uses()]
    assert sorted((use.name, use.commit_id) for use in found) == sorted(zip(names, (one, one, other), strict=True))
    assert {use.until for use in found} == {UNTIL + timedelta(seconds=n) for n in range(3)}
    await pins.end_use(names[0])
    await pins.end_use(names[0])
    assert {use.name async for use in pins.uses()} == set(names[1:])


async def test_a_tag_is_deleted_and_can_be_deleted_again(place: Place) -> None:
    pins, stores, (one, _) = place
    await stores.versions.create_tag("v1", one)
    await stores.versions.create_tag("v2", one)
    await pins.delete_tag("v1")
    await pins.delete_tag("v1")
    assert [tag async for tag, _ in stores.versions.tags()] == ["v2"]


async def test_what_a_restore_keeps_is_let_go_of_unless_somebody_has_made_it_theirs(place: Place) -> None:
    pins, stores, (commit, _) = place
    snapshot = SnapshotFacts(None, Pinned(await stores.versions.find_commit(commit), "snap-2"))
    assert [await keep(pins, snapshot, why) for why in ("before snap-1 was restored", "again")] == [True, False]
    note = await pins.note(commit)
    assert (note.reason, note.who, note.tag) == ("before snap-1 was restored", "syncd restore", "snap-2")
    await let_go(pins, snapshot)
    assert await listed(pins, Keeper.PERSON) == []

    await keep(pins, snapshot, "before snap-1 was restored")
    await pins.write_note(commit, NOTE)
    await let_go(pins, snapshot)
    assert not await keep(pins, snapshot, "again")
    assert await pins.note(commit) == NOTE


@pytest.mark.lakefs
async def test_hidden_branches_are_listed_page_by_page(real_stores: Stores) -> None:
    """The way pins are listed, with pages of two."""
    await real_stores.put("a", b"a")
    commit, sdk = await real_stores.commit(), real_stores.versions.sdk
    names = [await store(real_stores).use(commit, UNTIL) for _ in range(5)]
    listing = sdk.client.branches_api.list_branches
    rows = sdk.rows("listing pins", listing, of=to_reference, page_rows=2, prefix="syncd-use-", show_hidden=True)
    assert [name async for name, _ in rows] == sorted(names)


@pytest.mark.lakefs
async def test_pins_are_hidden_from_those_who_do_not_ask_for_them(real_stores: Stores) -> None:
    await real_stores.put("a", b"a")
    commit, pins = await real_stores.commit(), store(real_stores)
    await pins.pin(Keeper.RETENTION, commit)
    await pins.pin(Keeper.PERSON, commit)
    await pins.use(commit, UNTIL)
    shown = real_stores.versions.sdk.client.branches_api.list_branches(real_stores.repository)
    assert [branch.id for branch in shown.results] == ["main", "staging"]


def test_a_note_that_is_something_else_says_nothing() -> None:
    assert Note.from_json(b"\xff") is Note.from_json(b"[]") is Note.from_json(b'{"reason": "x"}') is None
    assert Note.from_json(NOTE.to_json()) == NOTE
