"""P9, P8: the staging branch is syncd's own. What others do to it is said, never overwritten, and put right once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import lakefs
import pytest
from mypy_boto3_s3 import S3Client

from syncd.errors import EXIT_HELD
from syncd.service import control
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset
from tests.support.parts import PART_BYTES, upload_in_parts

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

STAGING = "syncd-staging"
QUIET = {"quiet_seconds": 0.2}
RESOLVED_S = 60.0  # what a person put right is looked for at growing pauses


@pytest.fixture
def published(dataset: Dataset) -> Dataset:
    """A running daemon with a snapshot of one image."""
    dataset.configure(snapshot=QUIET)
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    dataset.snapshot()
    return dataset


def held(dataset: Dataset, *words: str) -> str:
    """Change something, wait until the daemon says what is wrong, and hold its words and a call's end against it."""
    (dataset.root / "b.png").write_bytes(b"b")
    seen = dataset.status_until(lambda seen: all(word in seen["failure"] for word in words), f"it says {words}")
    assert seen["state"] == "failing"
    refused = dataset.command("snapshot", "--timeout", "1")
    assert refused.returncode == EXIT_HELD, refused.stderr
    assert words[0] in refused.stderr
    return str(seen["failure"])


def assert_goes_on(dataset: Dataset, reader: Reader) -> dict[str, Any]:
    dataset.status_until(lambda seen: not seen["failure"], "it carries on", timeout_s=RESOLVED_S)
    answer = dataset.snapshot()
    found = {key: body for key, body in reader.objects(answer["tag"]).items() if key.startswith("images/")}
    assert found == folder(dataset.root)
    return answer


def commits(versions: lakefs.Repository, branch: str) -> list[str]:
    return [commit.id for commit in versions.branch(branch).log()]


def test_a_foreign_commit_stops_it_until_it_is_approved(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    branch = versions.branch(STAGING)
    branch.object("notes/readme.txt").upload(data=b"by hand")
    branch.commit(message="by hand")
    foreign = branch.get_commit().id
    main = commits(versions, "main")
    said = held(published, "a commit that syncd did not make", foreign[:12], "'by hand'", "syncd approve")
    assert "lakectl branch create" in said
    assert commits(versions, "main") == main
    assert branch.get_commit().id == foreign
    approved = published.command("approve", "--yes")
    assert "approved: the branch is taken over" in approved.stdout, approved.stderr
    answer = assert_goes_on(published, reader)
    assert reader.objects(answer["tag"])["notes/readme.txt"] == b"by hand"
    assert foreign in commits(versions, "main")


def test_a_foreign_commit_can_be_put_back_as_the_message_says(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    own = versions.branch(STAGING).get_commit().id
    versions.branch(STAGING).object("images/foreign.png").upload(data=b"foreign")
    versions.branch(STAGING).commit(message="by hand")
    said = held(published, "a commit that syncd did not make")
    assert f"-s lakefs://{versions.id}/{own}" in said
    versions.branch(STAGING).delete()
    versions.branch(STAGING).create(own)
    answer = assert_goes_on(published, reader)
    assert "images/foreign.png" not in reader.objects(answer["tag"])


def test_an_approval_covers_the_commit_that_was_shown_and_not_the_next(
    published: Dataset, versions: lakefs.Repository
) -> None:
    branch = versions.branch(STAGING)
    for name in ("one", "two"):
        branch.object(f"{name}.txt").upload(data=b"x")
        branch.commit(message=name)
        held(published, f"'{name}'")
        if name == "one":
            shown = asyncio.run(control.call(published.state_dir, "held"))["branch"]
            assert "'one'" in shown
    request = {"revision": None, "tables": {}, "branch": shown, "only": [], "discard": False}
    assert not asyncio.run(control.call(published.state_dir, "approve", **request))["branch"]
    held(published, "'two'")
    assert {thing.path for thing in versions.branch("main").objects()} == {"images/a.png"}


def test_foreign_changes_that_are_not_committed_stop_it_until_they_are_reset(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    """One outside its prefix, one of the same name as one of ours, and one that is deleted."""
    branch = versions.branch(STAGING)
    branch.object("notes/readme.txt").upload(data=b"by hand")
    branch.object("images/a.png").delete()
    before = commits(versions, STAGING)
    held(published, "changes that syncd did not make: 'images/a.png', 'notes/readme.txt'", "lakectl branch reset")
    assert commits(versions, STAGING) == before
    branch.reset_changes("common_prefix", "notes/")
    branch.reset_changes("object", "images/a.png")
    answer = assert_goes_on(published, reader)
    assert "notes/readme.txt" not in reader.objects(answer["tag"])


def test_what_someone_reset_is_staged_again(published: Dataset, reader: Reader, versions: lakefs.Repository) -> None:
    """P1: an acknowledged object that is not there any more is no part of what was acknowledged."""
    published.configure(snapshot={"quiet_seconds": "off"})
    published.daemons[-1].stop()
    published.start()
    for number in range(20):
        (published.root / f"more-{number}.png").write_bytes(b"%d" % number)
    staged = {"upload": 0, "uncommitted": 20}  # before, keys that are under way count as well
    published.status_until(lambda seen: staged.items() <= seen["pending"].items(), "all is staged")
    versions.branch(STAGING).reset_changes()
    assert_goes_on(published, reader)
    events = published.daemons[-1].events("failing")
    assert "20 changes that lakeFS acknowledged are not on the branch" in events[0]["error"]


@pytest.mark.parametrize("brought_back", ["by approval", "by hand"])
def test_a_deleted_branch_is_not_made_anew_in_silence(
    published: Dataset, reader: Reader, versions: lakefs.Repository, brought_back: str
) -> None:
    versions.branch(STAGING).delete()
    said = held(published, f"the branch {STAGING} is gone", "syncd approve")
    assert f"lakectl branch create lakefs://{versions.id}/{STAGING} -s lakefs://{versions.id}/main" in said
    assert STAGING not in {branch.id for branch in versions.branches()}
    if brought_back == "by hand":
        versions.branch(STAGING).create("main")
    else:
        assert published.command("approve", "--yes").returncode == 0
    assert_goes_on(published, reader)


def test_a_deleted_repository_is_not_made_anew_in_silence(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    versions.delete()
    published.configure(lakefs={"storage_namespace": f"local://{versions.id}-again"})
    held(published, "is gone", "repository")
    published.daemons[-1].stop()
    assert "is gone" in published.command("sync").stderr
    assert published.command("approve", "--yes").returncode == 0  # no daemon is needed for it
    published.start()
    assert_goes_on(published, reader)


def test_a_protected_staging_branch_is_named_and_it_goes_on_once_it_is_not(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    rules = versions._client.sdk_client.repositories_api
    rules.set_branch_protection_rules(versions.id, [{"pattern": STAGING}])
    for number in itertools.count():  # lakeFS remembers for some seconds that it was not
        (published.root / f"{number}.png").write_bytes(b"x")
        seen = published.status_until(lambda seen: seen["failure"] or not seen["pending"]["since"], "it is told")
        if seen["failure"]:
            break
    held(published, "protected", STAGING)
    rules.set_branch_protection_rules(versions.id, [])
    assert_goes_on(published, reader)


class _Hook(BaseHTTPRequestHandler):
    refuses = True
    calls = 0

    def do_POST(self) -> None:
        type(self).calls += 1
        self.send_response(400 if type(self).refuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[tuple[type[_Hook], str]]:
    handler = type("Hook", (_Hook,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_hook_that_refuses_is_named_and_asked_again_with_pauses(
    dataset: Dataset, reader: Reader, versions: lakefs.Repository, hook: tuple[type[_Hook], str]
) -> None:
    """Each refused commit costs every later read of the branch: it is not tried again and again."""
    handler, url = hook
    versions.create(f"local://{versions.id}")
    action = f"name: ask\non:\n  pre-commit:\n    branches: [{STAGING}]\nhooks:\n"
    action += f"  - id: ask\n    type: webhook\n    properties:\n      url: {url}\n"
    versions.branch("main").object("_lakefs_actions/ask.yaml").upload(data=action.encode())
    versions.branch("main").commit(message="an action")
    dataset.configure(snapshot=QUIET)
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    held(dataset, "hook", "lakectl actions runs list")
    assert 1 <= handler.calls <= 4
    handler.refuses = False
    assert_goes_on(dataset, reader)
    assert handler.calls <= 8


def test_a_publish_branch_that_others_merge_into_is_normal(
    published: Dataset, reader: Reader, versions: lakefs.Repository
) -> None:
    main = versions.branch("main")
    for number in range(3):
        main.object(f"notebooks/{number}.txt").upload(data=b"theirs")
        main.commit(message=f"theirs {number}")
        (published.root / f"{number}.png").write_bytes(b"ours")
        answer = assert_goes_on(published, reader)
        assert reader.objects(answer["tag"])[f"notebooks/{number}.txt"] == b"theirs"


@pytest.mark.parametrize("way_out", ["revert", "merge"])
def test_a_conflict_is_a_hold_with_two_ways_out(
    published: Dataset, reader: Reader, versions: lakefs.Repository, way_out: str
) -> None:
    main = versions.branch("main")
    main.object("images/a.png").upload(data=b"theirs")
    main.commit(message="theirs")
    (published.root / "a.png").write_bytes(b"ours, changed")
    said = held(published, f"branch {STAGING} cannot be merged into main", "images/a.png")
    assert "lakectl branch revert" in said
    assert "lakectl merge" in said
    if way_out == "revert":
        main.revert("main")
    else:
        main.merge_into(versions.branch(STAGING), strategy="dest-wins")
    assert_goes_on(published, reader)


def test_a_new_state_directory_carries_on_where_the_old_one_was_cut_off(
    make_dataset: Callable[..., Dataset], reader: Reader, versions: lakefs.Repository, s3: S3Client
) -> None:
    """P4: history, numbers and an unpublished commit are read back from lakeFS."""
    dataset = make_dataset(lease_seconds=2)
    dataset.configure(snapshot=QUIET)
    (dataset.root / "a.png").write_bytes(b"a")
    daemon = dataset.start()
    first = dataset.snapshot()
    (dataset.root / "b.png").write_bytes(b"b")
    second = dataset.snapshot()
    daemon.stop()
    # what a crash between commit and merge leaves
    (dataset.root / "c.png").write_bytes(b"c")
    branch = versions.branch(STAGING)
    sha256 = {"sha256": hashlib.sha256(b"c").hexdigest()}
    s3.put_object(
        Bucket=versions.id, Key=f"{STAGING}/images/c.png", Body=b"c", ContentType="image/png", Metadata=sha256
    )
    branch.commit(message="1 added", metadata={"syncd.snapshot": "f" * 32, "syncd.images": "3", "syncd.added": "1"})
    dataset.state_dir.rename(dataset.directory / "lost")
    dataset.start()
    answer = assert_goes_on(dataset, reader)
    assert answer["tag"] not in {first["tag"], second["tag"]}
    history = dataset.json_of("log")
    assert [one["tag"] for one in history][1:] == [second["tag"], first["tag"]]
    assert second | history[1] == second | {"removed_at": None}, "it is all as it was"
    assert len([commit for commit in versions.branch(STAGING).log() if "syncd.snapshot" in commit.metadata]) == 3
    with contextlib.suppress(StopIteration):
        assert next(iter(versions.branch("main").log())).metadata["syncd.snapshot"] == "f" * 32


def test_what_another_one_published_to_the_same_branch_is_not_taken_for_ones_own(
    make_dataset: Callable[..., Dataset],
) -> None:
    """A journal that was lost is rebuilt from the publish branch; retention must not touch snapshots of others."""
    cats, dogs = (make_dataset(name=name, prefix=name, staging_branch=f"staging-{name}") for name in ("cats", "dogs"))
    tags: dict[str, list[str]] = {"cats": [], "dogs": []}
    for number in range(2):
        for name, dataset in (("cats", cats), ("dogs", dogs)):
            (dataset.root / f"{number}.png").write_bytes(b"%d" % number)
            tags[name].insert(0, dataset.json_of("sync")["tag"])
    cats.state_dir.rename(cats.directory / "lost")
    (cats.root / "new.png").write_bytes(b"new")
    tags["cats"].insert(0, cats.json_of("sync")["tag"])
    for name, dataset in (("cats", cats), ("dogs", dogs)):
        assert [one["tag"] for one in dataset.json_of("log")] == tags[name]


@pytest.mark.parametrize("same", [True, False], ids=["same-content", "other-content"])
def test_an_upload_in_parts_that_a_first_start_finds_on_the_branch_gives_way_to_the_file_in_the_folder(
    dataset: Dataset, reader: Reader, versions: lakefs.Repository, s3: S3Client, rng: random.Random, same: bool
) -> None:
    """P9: someone's commit is published only once that is agreed to, also where syncd was never before.

    P1: nobody knows its SHA-256, and its ETag looks like an MD5 but is none; so the file is sent in any case.
    """
    versions.create(f"local://{versions.id}")
    branch = versions.branch(STAGING).create("main")
    parts = [rng.randbytes(PART_BYTES), rng.randbytes(PART_BYTES)]
    upload_in_parts(s3, versions.id, f"{STAGING}/images/a.png", parts)
    branch.commit(message="by hand")
    foreign = branch.get_commit().id
    (dataset.root / "a.png").write_bytes(b"".join(parts if same else reversed(parts)))
    refused = dataset.command("sync")
    assert refused.returncode == EXIT_HELD, refused.stderr
    assert foreign[:12] in refused.stderr
    assert "'by hand'" in refused.stderr
    assert versions.branch("main").get_commit().id != foreign
    approved = dataset.command("approve", "--yes")
    assert "approved: the branch is taken over" in approved.stdout, approved.stderr
    answer = dataset.json_of("sync")
    assert (answer["added"], answer["changed"], answer["deleted"], answer["images"]) == (0, 1, 0, 1)
    for reference in (answer["tag"], "main", STAGING):
        assert_same(reader.objects(reference), folder(dataset.root))
    assert (reader.objects(foreign) == folder(dataset.root)) == same, "the commit that was there is as it was"
