"""P6, P8: the real daemon keeps what the rules and people want, and lets go of the rest, on a real lakeFS."""

from __future__ import annotations

from collections.abc import Callable

import lakefs
import pytest

from syncd.errors import EXIT_FAILED, EXIT_USAGE
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


@pytest.fixture
def keeping_two(dataset: Dataset) -> Dataset:
    """A running daemon that keeps two snapshots, and has made none."""
    dataset.configure(snapshot={"keep_last": 2})
    dataset.start()
    return dataset


def publish(dataset: Dataset, count: int) -> list[str]:
    """Make so many snapshots, one after another; return their tags."""
    made = []
    for _ in range(count):
        (dataset.root / f"{len(list(dataset.root.iterdir()))}.png").write_bytes(b"x")
        made.append(dataset.snapshot()["tag"])
    return made


def pinned(dataset: Dataset) -> set[str]:
    """The tags whose commits retention pins, or the commits where these have no tag."""
    return {one["tag"] or one["commit_id"] for one in dataset.json_of("pins")["kept"]}


def tags(versions: lakefs.Repository) -> set[str]:
    return {tag.id for tag in versions.tags()}


def until_pinned(dataset: Dataset, expected: list[str]) -> None:
    until(lambda: pinned(dataset) == set(expected), f"{expected} are pinned, and no other")


def plan(dataset: Dataset) -> dict[str, tuple[bool, list[str]]]:
    return {one["tag"]: (one["keep"], one["reasons"]) for one in dataset.json_of("retention plan")["snapshots"]}


def test_older_snapshots_lose_their_pins_and_keep_their_tags(
    keeping_two: Dataset, versions: lakefs.Repository, reader: Reader
) -> None:
    made = publish(keeping_two, 4)
    until_pinned(keeping_two, made[2:])
    assert tags(versions) == set(made)
    assert plan(keeping_two) == {
        made[3]: (True, ["newest", "one of the last 2"]),
        made[2]: (True, ["one of the last 2"]),
    }
    assert [(one["tag"], bool(one["removed_at"])) for one in keeping_two.json_of("log")] == [
        (made[3], False),
        (made[2], False),
        (made[1], True),
        (made[0], True),
    ]
    lines = keeping_two.command("log").stdout.splitlines()
    assert [line.endswith("  removed") for line in lines] == [False, False, True, True]
    assert_same(reader.objects(made[3]), folder(keeping_two.root))
    assert keeping_two.json_of("pins check") == {"repaired": 0, "faults": []}


def test_where_that_is_set_their_tags_go_too_and_the_newest_never(
    dataset: Dataset, versions: lakefs.Repository
) -> None:
    dataset.configure(snapshot={"keep_last": 1, "remove_tags": True})
    dataset.start()
    made = publish(dataset, 3)
    until_pinned(dataset, made[2:])
    assert tags(versions) == {made[2]}
    gone = dataset.command("pin", made[0], "--reason", "too late")
    assert gone.returncode == EXIT_FAILED
    assert f"the tag {made[0]} is gone" in gone.stderr
    assert "retention removed the snapshot" in gone.stderr


def test_a_persons_pin_stays_until_they_take_it_away_and_any_host_sees_it(
    keeping_two: Dataset, make_dataset: Callable[..., Dataset], versions: lakefs.Repository
) -> None:
    keeping_two.configure(snapshot={"remove_tags": True})
    keeping_two.daemons[-1].stop()
    keeping_two.start()
    (first,) = publish(keeping_two, 1)
    said = keeping_two.command("pin", first, "--reason", "paper v1, „Größe“")
    assert (said.returncode, said.stdout) == (0, f"pinned: {first}: paper v1, „Größe“\n"), said.stderr
    made = publish(keeping_two, 3)
    until_pinned(keeping_two, [first, *made[1:]])
    assert tags(versions) == {first, *made[1:]}
    assert plan(keeping_two)[first] == (True, ["pinned: paper v1, „Größe“"])

    elsewhere = make_dataset(name="elsewhere")  # a host with a state directory of its own, and no journal
    (seen,) = elsewhere.json_of("pins")["pinned"]
    assert (seen["tag"], seen["reason"]) == (first, "paper v1, „Größe“")
    assert " on " in seen["who"]
    assert "1 pinned by people, 3 by retention" in elsewhere.command("pins").stdout

    assert elsewhere.json_of("unpin", first)["tag"] == first
    again = elsewhere.command("unpin", first)
    assert (again.returncode, "nobody has pinned" in again.stderr) == (EXIT_FAILED, True)
    made += publish(keeping_two, 1)
    until_pinned(keeping_two, made[2:])
    assert tags(versions) == set(made[2:])


def test_sync_without_a_daemon_applies_the_rules_as_well(dataset: Dataset) -> None:
    dataset.configure(snapshot={"keep_last": 1})
    made = []
    for name in ("a.png", "b.png"):
        (dataset.root / name).write_bytes(b"x")
        made.append(dataset.json_of("sync")["tag"])
    assert pinned(dataset) == {made[1]}


def test_snapshots_of_before_get_their_pins_at_the_next_start(dataset: Dataset, versions: lakefs.Repository) -> None:
    """As where the syncd that made them had none, or someone deleted them."""
    dataset.start()
    made = publish(dataset, 3)
    commits = {one["tag"]: one["commit_id"] for one in dataset.json_of("log")}
    for tag in made[:2]:
        versions.branch(f"syncd-staging-pin-{commits[tag]}").delete()
    found = dataset.json_of("pins check", exit_code=EXIT_FAILED)["faults"]
    assert {(fault["code"], fault["tag"]) for fault in found} == {("not-pinned", tag) for tag in made[:2]}
    assert "syncd pins check --repair" in dataset.command("pins check").stdout
    dataset.daemons[-1].stop()
    dataset.start()
    until_pinned(dataset, made)
    versions.branch(f"syncd-staging-pin-{commits[made[0]]}").delete()
    assert dataset.json_of("pins check", "--repair") == {"repaired": 1, "faults": []}
    assert pinned(dataset) == set(made)


def test_a_tag_that_was_moved_is_named_and_left_alone(dataset: Dataset, versions: lakefs.Repository) -> None:
    dataset.start()
    first, second = publish(dataset, 2)
    commits = {one["tag"]: one["commit_id"] for one in dataset.json_of("log")}
    versions.tag(first).delete()
    versions.tag(first).create(commits[second])
    (fault,) = dataset.json_of("pins check", "--repair", exit_code=EXIT_FAILED)["faults"]
    assert (fault["code"], fault["tag"], fault["commit_id"]) == ("tag-moved", first, commits[first])
    assert versions.tag(first).get_commit().id == commits[second]

    refused = dataset.command("pin", first, "--reason", "which?")
    assert refused.returncode == EXIT_FAILED
    assert f"points at commit {commits[second][:12]}, and syncd put it on {commits[first][:12]}" in refused.stderr
    assert dataset.json_of("pins")["pinned"] == []
    dataset.daemons[-1].stop()
    dataset.start()
    status = dataset.status_until(lambda seen: seen["retention"]["faults"], "it says so")
    assert first in status["retention"]["faults"][0]
    assert f"pins: {first}: someone moved its tag" in dataset.command("status").stdout
    assert dataset.json_of("pin", commits[first], "--reason", "the first")["commit_id"] == commits[first]


def test_bad_input_says_what_to_do(dataset: Dataset) -> None:
    dataset.start()
    (made,) = publish(dataset, 1)
    unknown = dataset.command("pin", made[:-3], "--reason", "x")
    assert (unknown.returncode, f"similar: {made}" in unknown.stderr) == (EXIT_FAILED, True)
    assert dataset.command("unpin", "nothing").returncode == EXIT_FAILED
    assert dataset.command("pin", made).returncode == EXIT_USAGE
    assert dataset.command("pin", made, "--reason", " ").returncode == EXIT_USAGE
    assert dataset.command("pin", made, "--reason", "x" * 1001).returncode == EXIT_USAGE
    assert "1 kept, 0 to remove" in dataset.command("retention plan").stdout
