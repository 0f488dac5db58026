"""P6: what is pinned outlives lakeFS's garbage collection; held against the list that the real server writes for it."""

from __future__ import annotations

import base64
import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from syncd.store.lakefs_pins import LakeFSPins
from syncd.store.pins import Keeper

if TYPE_CHECKING:
    from tests.support.stores import Stores

pytestmark = pytest.mark.lakefs


@pytest.fixture
def pins(real_stores: Stores) -> LakeFSPins:
    return LakeFSPins(real_stores.versions.sdk, real_stores.repository, "staging")


@pytest.fixture
async def published(real_stores: Stores) -> list[str]:
    """Five snapshots as syncd makes them, each with its tag."""
    made = []
    for number in range(5):
        await real_stores.put(f"images/{number}.png", b"%d" % number)
        await real_stores.commit()
        made.append(await real_stores.publish())
        await real_stores.versions.create_tag(f"snap-{number}", made[-1])
    return made


def active_commits(server, repository: str, *, days: int) -> set[str]:
    """Return the commits whose objects a collection would leave alone; what it takes is in no such commit.

    Args:
        server: Its keys and its folder, in which it writes the list.
        repository: Its name.
        days: How old commits of branches may be; -1: all but what a branch is at are too old.
    """
    client = server.versions_client
    client.repositories_api.set_gc_rules(repository, {"default_retention_days": days, "branches": []})
    request = Request(  # noqa: S310 - the test's own server
        f"{server.endpoint}/api/v1/repositories/{repository}/gc/prepare_commits", data=b"", method="POST"
    )
    keys = f"{server.credentials['access_key_id']}:{server.credentials['secret_access_key']}"
    request.add_header("Authorization", "Basic " + base64.b64encode(keys.encode()).decode())
    try:
        with urlopen(request) as answered:  # noqa: S310
            body = answered.read().decode()
    except HTTPError as error:  # local storage has no signed addresses; the list is written before that is found out
        with error:
            body = error.read().decode()
    told = next(document for document in documents(body) if "gc_commits_location" in document)
    with Path(urlsplit(told["gc_commits_location"]).path).open(newline="") as lines:
        return {row["commit_id"] for row in csv.DictReader(lines) if row["expired"] == "false"}


def documents(body: str):
    decoder, at = json.JSONDecoder(), 0
    while body[at:].strip():
        at += len(body[at:]) - len(body[at:].lstrip())
        found, at = decoder.raw_decode(body, at)
        yield found


@pytest.fixture
def active(real_stores: Stores):
    server = real_stores.server
    server.versions_client = real_stores.versions.sdk.client
    return lambda days=-1: active_commits(server, real_stores.repository, days=days)


async def test_every_pinned_commit_is_active_and_an_unpinned_expired_one_is_not(
    pins: LakeFSPins, published: list[str], active
) -> None:
    await pins.pin(Keeper.RETENTION, published[0])
    await pins.pin(Keeper.PERSON, published[1])
    name = await pins.use(published[2], datetime.now(UTC) + timedelta(hours=1))
    assert active() & set(published) == {published[0], published[1], published[2], published[4]}  # the last: main

    await pins.unpin(Keeper.RETENTION, published[0])
    await pins.unpin(Keeper.PERSON, published[1])
    await pins.end_use(name)
    assert active() & set(published) == {published[4]}


async def test_a_tag_alone_keeps_nothing(published: list[str], active) -> None:
    """What pins are for: all five have their tags."""
    assert active() & set(published) == {published[4]}
    assert active(days=1) >= set(published)  # nor is anything taken that is young enough


async def test_a_commit_is_kept_by_any_of_its_pins(pins: LakeFSPins, published: list[str], active) -> None:
    """A person's pin holds what retention lets go of."""
    for keeper in Keeper:
        await pins.pin(keeper, published[3])
    await pins.unpin(Keeper.RETENTION, published[3])
    assert published[3] in active()
