"""A file that was not what it was observed to be when it was sent: it waits for its source, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.journal import Journal, staging
from syncd.journal.staging import Staged
from tests.support.observing import START, present

KEY = "images/a.png"


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal(tmp_path) as opened:
        yield opened


async def test_a_file_read_again_is_due_at_once_even_if_it_was_read_before_its_upload_was_given_up(
    journal: Journal,
) -> None:
    """P1: else a snapshot call would be told that lakeFS refused a file that nobody had offered."""
    await journal.record([present(KEY, b"first")])
    puts, _ = await journal.due(START, 10)
    await journal.begin_batch(puts, START)
    await journal.record([present(KEY, b"second")])  # seen while the first was on its way
    given_up = Staged(
        key=KEY, sha256=None, size_bytes=None, sent=False, changing=True, retry_at=START + timedelta(seconds=1)
    )
    await journal.finish_in_batch([given_up], START)

    await journal.record([present(KEY, b"second")])  # the source looks again, as it was asked to

    puts, _ = await journal.due(START, 10)
    assert [change.key for change in puts] == [KEY]
    assert await journal.read(staging.blocked_up_to, 10, 10) == []


async def test_a_refused_file_read_again_waits_all_the_same(journal: Journal) -> None:
    """The same bytes would be refused again."""
    await journal.record([present(KEY, b"first")])
    puts, _ = await journal.due(START, 10)
    await journal.begin_batch(puts, START)
    refused = Staged(
        key=KEY, sha256=None, size_bytes=None, sent=False, refused=True, retry_at=START + timedelta(seconds=30)
    )
    await journal.finish_in_batch([refused], START)

    await journal.record([present(KEY, b"first", mtime_ns=2)])

    assert await journal.due(START, 10) == ((), ())


@pytest.mark.parametrize("how", ["changing", "refused"])
async def test_what_was_seen_since_does_not_wait_for_what_became_of_the_content_before(
    journal: Journal, how: str
) -> None:
    """P2, P8: a table read anew while it is sent would wait each time, and be read anew before the pause is over."""
    await journal.record([present(KEY, b"first")])
    puts, _ = await journal.due(START, 10)
    await journal.begin_batch(puts, START)
    await journal.record([present(KEY, b"second")])
    given_up = Staged(
        key=KEY,
        sha256=None,
        size_bytes=None,
        sent=False,
        changing=how == "changing",
        refused=how == "refused",
        retry_at=START + timedelta(seconds=1),
        offered=puts[0].fingerprint and puts[0].fingerprint.sha256,
    )
    await journal.finish_in_batch([given_up], START)

    puts, _ = await journal.due(START, 10)
    assert [change.key for change in puts] == [KEY]
    assert await journal.read(staging.blocked_up_to, 10, 10) == []
    assert (await journal.standing(count_up_to=1)).changing_revision is None


@pytest.mark.parametrize("committed", [True, False])
async def test_a_file_that_came_back_to_what_is_staged_while_its_batch_was_planned(
    journal: Journal, committed: bool
) -> None:
    """P4: the batch sends what is outdated by now, and the file is due again after it, also after a crash in it."""
    await journal.record([present(KEY, b"first")])
    puts, _ = await journal.due(START, 10)
    await journal.begin_batch(puts, START)
    first = puts[0].fingerprint
    await journal.finish_in_batch([Staged(key=KEY, sha256=first.sha256, size_bytes=5, sent=True)], START)
    if committed:
        await journal.write(
            lambda connection: connection.execute(
                "UPDATE entry SET committed_sha256 = staged_sha256, committed_bytes = 5, waiting_since = NULL"
            )
        )
    await journal.record([present(KEY, b"second")])
    puts, _ = await journal.due(START, 10)
    await journal.record([present(KEY, b"first")])
    assert await journal.due(START, 10) == ((), ())

    await journal.begin_batch(puts, START)

    assert [change.fingerprint for change in (await journal.due(START, 10))[0]] == [first]
    second = puts[0].fingerprint
    await journal.finish_in_batch([Staged(key=KEY, sha256=second.sha256, size_bytes=6, sent=True)], START)
    assert [change.fingerprint for change in (await journal.due(START, 10))[0]] == [first]
