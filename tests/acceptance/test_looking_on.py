"""``syncd status --wait``, ``syncd tail`` and ``syncd top`` beside the real daemon, on a real lakeFS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from syncd.errors import EXIT_FAILED, EXIT_HELD, EXIT_LAKEFS_UNAVAILABLE
from tests.support.daemon import until
from tests.support.terminal import Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.embedded.process import ServerProcess
    from tests.support.daemon import Dataset

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


def test_wait_ends_with_0_once_the_snapshot_holds_what_was_there_before_the_call(dataset: Dataset) -> None:
    dataset.configure(snapshot={**dataset.sections["snapshot"], "quiet_seconds": 0.3})
    dataset.start()
    for number in range(5):
        (dataset.root / f"{number}.png").write_bytes(b"x%d" % number)
        found = dataset.json_of("status", "--wait", "--timeout", "60")
        assert (found["in_step"], found["left_out"], found["snapshot"]["images"]) == (True, [], number + 1)
    (dataset.root / "0.png").unlink()
    assert dataset.json_of("status", "--wait")["snapshot"]["images"] == 4


def test_wait_makes_no_snapshot_and_ends_with_1_where_none_comes(dataset: Dataset) -> None:
    dataset.start()
    (dataset.root / "a.png").write_bytes(b"a")
    found = dataset.json_of("status", "--wait", "--timeout", "0.5", exit_code=EXIT_FAILED)
    assert (found["in_step"], found["snapshot"]) == (False, None)
    assert "not in step within 0 s" in dataset.command("status", "--wait", "--timeout", "0").stderr


def test_what_cannot_be_synced_is_a_difference(dataset: Dataset) -> None:
    dataset.start()
    os.mkfifo(dataset.root / "a.png")
    (dataset.root / "link.png").symlink_to("/nowhere")
    dataset.json_of("snapshot")
    found = dataset.json_of("status", "--wait", "--timeout", "0.5", exit_code=EXIT_FAILED)
    assert (found["in_step"], bool(found["not_synced"])) == (False, True)


def test_wait_says_by_its_code_that_a_person_or_lakefs_is_missing(
    make_dataset: Callable[..., Dataset], own_lakefs_server: ServerProcess
) -> None:
    dataset = make_dataset(server=own_lakefs_server)
    dataset.configure(
        guard={"max_delete_percent": 10, "min_objects": 1}, snapshot={"quiet_seconds": 0.2, "max_wait_seconds": 5}
    )
    for number in range(4):
        (dataset.root / f"{number}.png").write_bytes(b"x%d" % number)
    dataset.start()
    assert dataset.json_of("status", "--wait")["in_step"]
    for number in range(3):
        (dataset.root / f"{number}.png").unlink()
    assert dataset.json_of("status", "--wait", "--timeout", "3", exit_code=EXIT_HELD)["state"] == "held"
    held = next(line for line in reversed(events(dataset)) if line["event"] == "held")
    assert "syncd approve" in held["why"]
    own_lakefs_server.stop()
    (dataset.root / "new.png").write_bytes(b"new")
    dataset.status_until(lambda seen: seen["state"] == "failing", "lakeFS is missed")
    assert dataset.json_of("status", "--wait", "--timeout", "1", exit_code=EXIT_LAKEFS_UNAVAILABLE)["failure"]


@pytest.mark.parametrize("command", [["status", "--wait"], ["tail"], ["top"]])
def test_without_a_daemon_they_say_how_to_start_it(dataset: Dataset, command: list[str]) -> None:
    done = dataset.command(*command)
    assert (done.returncode, "syncd run" in done.stderr) == (EXIT_FAILED, True)


def test_tail_shows_what_was_done_and_why_and_follows(dataset: Dataset) -> None:
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    first = dataset.json_of("snapshot")
    lines = events(dataset)
    assert [line["event"] for line in lines].index("started") < len(lines) - 1
    published = next(line for line in lines if line.get("tag") == first["tag"])
    assert published["trigger"] == "request"
    assert all(line["why"] for line in lines if line["event"] == "batch_staged")
    assert f"tag={first['tag']}" in dataset.command("tail", "-n", "3").stdout
    said = dataset.directory / "tail.txt"
    with said.open("wb") as file:
        following = subprocess.Popen(
            [*dataset.arguments("tail"), "-f", "-n", "1"], env=dataset.environment, stdout=file
        )
    try:
        until(lambda: f"tag={first['tag']}" in said.read_text(), "it shows the newest line")
        (dataset.root / "b.png").write_bytes(b"b")
        second = dataset.json_of("snapshot")

        until(lambda: f"tag={second['tag']}" in said.read_text(), "the second snapshot is told")
        assert said.read_text().count(f"tag={first['tag']}") == 1
        following.send_signal(signal.SIGINT)
        assert following.wait(20) in (0, 130)
    finally:
        following.kill()
        following.wait()


def events(dataset: Dataset) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dataset.command("tail", "--json").stdout.splitlines()]


def test_names_cannot_play_tricks_on_the_terminal(dataset: Dataset) -> None:
    (dataset.root / "a\x1b[2Jb.png").symlink_to("/nowhere")
    (dataset.root / "ok.png").write_bytes(b"ok")
    dataset.start()
    dataset.json_of("snapshot")
    for command in (["tail"], ["top", "--once"], ["status"]):
        assert "\x1b" not in dataset.command(*command).stdout


def test_top_shows_one_screen_and_on_a_terminal_goes_on(dataset: Dataset) -> None:
    for number in range(7):
        (dataset.root / f"{number}.png").write_bytes(b"x%d" % number)
    dataset.start()
    taken = dataset.json_of("snapshot")
    dataset.status_until(lambda seen: seen["state"] == "idle", "it is in step")
    shown = dataset.command("top").stdout
    for part in ("idle", "in step with the source", taken["tag"], "images", "objects/s", "snapshot"):
        assert part in shown
    screen = {"TERM": "xterm", "COLUMNS": "140", "LINES": "40"}
    watching = Person([*dataset.arguments("top"), "--every", "0.2"], dataset.environment | screen)
    watching.sees("in step")
    (dataset.root / "more.png").write_bytes(b"more")
    watching.sees(dataset.json_of("snapshot")["tag"])
    watching.process.send_signal(signal.SIGINT)
    assert watching.ends() in (0, 130)
