"""P4, P5: a journal that is damaged or gone is rebuilt from source and lakeFS, and nothing is deleted by it."""

from __future__ import annotations

import random

import lakefs
import pytest

from tests.acceptance.test_restarts import assert_no_intent_twice, fill, tags_of
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


@pytest.fixture
def published(dataset: Dataset, rng: random.Random) -> Dataset:
    """A daemon that has made a snapshot of 200 images, and then stopped."""
    dataset.configure(snapshot={"quiet_seconds": 0.2}, guard={"max_delete_percent": 25})
    fill(dataset, rng, 200)
    dataset.start()
    dataset.snapshot()
    dataset.daemons[-1].stop()
    return dataset


def assert_as_if_nothing_had_happened(dataset: Dataset, reader: Reader, versions: lakefs.Repository) -> None:
    before = tags_of(versions)
    (newest,) = before
    dataset.start()
    assert dataset.snapshot()["tag"] == newest
    assert [one["tag"] for one in dataset.json_of("log")] == [newest]
    assert sum(event["uploaded"] for event in dataset.daemons[-1].events("batch_staged")) == 0, "it was sent again"
    (dataset.root / "new.png").write_bytes(b"new")
    (dataset.root / "d0/00000.png").unlink()
    answer = dataset.snapshot()
    assert (answer["added"], answer["deleted"], answer["images"]) == (1, 1, 200)
    assert_same(reader.objects(answer["tag"]), folder(dataset.root))
    assert tags_of(versions) | before == tags_of(versions)
    assert_no_intent_twice(versions)


@pytest.mark.parametrize("how", ["deleted", "emptied", "overwritten", "cut off"])
def test_it_is_rebuilt_whatever_became_of_it(
    published: Dataset, reader: Reader, versions: lakefs.Repository, how: str
) -> None:
    journal = published.state_dir / "journal.db"
    size = journal.stat().st_size
    if how == "deleted":
        journal.unlink()
    else:
        journal.write_bytes(
            {"emptied": b"", "overwritten": b"\xff" * size, "cut off": journal.read_bytes()[: size // 3]}[how]
        )
    if how == "cut off":  # an orderly end is believed; what is cut off is found when it is used
        published.start(ready=False)
        until(lambda: published.daemons[-1].exit_code is not None or published.daemons[-1].events("started"), "a start")
        if published.daemons[-1].exit_code is None:
            published.daemons[-1].end()
    assert_as_if_nothing_had_happened(published, reader, versions)
    if how in {"overwritten", "cut off"}:
        assert list(published.state_dir.glob("journal.db.damaged-*"))
        asides = [event for daemon in published.daemons for event in daemon.events("journal_set_aside")]
        assert len(asides) == 1


def test_damage_under_a_running_daemon_ends_it_and_the_next_start_puts_it_right(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    """P8: the end names the journal, the cause, and what to do, which is to start it again, as systemd does."""
    daemon = published.start()
    published.snapshot()
    journal = published.state_dir / "journal.db"
    with journal.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * (journal.stat().st_size - 4096 * 4))
    (published.state_dir / "journal.db-wal").unlink(missing_ok=True)
    for number in range(400):
        (published.root / f"d0/more-{number}.png").write_bytes(b"%d" % number)
    assert daemon.wait(60) == 1
    assert "cannot be trusted any more" in daemon.log()
    assert "start syncd again" in daemon.log()
    for number in range(400):
        (published.root / f"d0/more-{number}.png").unlink()
    assert_as_if_nothing_had_happened(published, reader, versions)


def test_what_went_while_there_was_no_journal_is_judged_as_ever(published: Dataset, reader: Reader) -> None:
    """P5: much is gone, and nobody knows since when: a person is asked."""
    (published.state_dir / "journal.db").unlink()
    for number in range(0, 200, 2):
        (published.root / f"d{number % 9}/{number:05}.png").unlink()
    published.start()
    published.status_until(lambda seen: "100 of 200 images are gone" in seen["hold"], "it asks")
    assert len(reader.objects("syncd-staging")) == 200


def test_a_persons_own_tag_is_not_taken_for_a_snapshots(published: Dataset, versions: lakefs.Repository) -> None:
    """P6: retention removes tags of syncd's, and the journal is to know them from others again."""
    (first,) = tags_of(versions)
    versions.tag("v1.0").create(versions.tag(first).get_commit().id)
    (published.state_dir / "journal.db").unlink()
    published.configure(snapshot={"keep_last": 1, "remove_tags": True})
    published.start()
    assert published.snapshot()["tag"] == first
    (published.root / "new.png").write_bytes(b"new")
    newest = published.snapshot()["tag"]
    until(lambda: first not in tags_of(versions), "the keep rules were applied")
    assert tags_of(versions).keys() == {"v1.0", newest}
