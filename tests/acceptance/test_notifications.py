"""Who is told what of the real daemon on a real lakeFS, and that nobody who is told can hold it up (P8)."""

from __future__ import annotations

import hashlib
import hmac
import signal
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemon import Dataset, until
from tests.support.receivers import NEVER, Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncd.embedded.process import ServerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

SECRET = "canary-signing-0123456789"
COUNT = 30  # snapshots
FAIL = "/canary-T0123456789/fail"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def told_by(dataset: Dataset, receiver: Receiver, **notify: Any) -> Dataset:
    """Let the dataset tell the receiver, at once and signed."""
    secret = dataset.directory / "webhook-secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    at_once = {"webhook_url": receiver.url, "webhook_secret_file": str(secret), "grace_seconds": 0}
    dataset.configure(notify={**at_once, **notify})
    return dataset


def wait_for(receiver: Receiver, kind: str, count: int = 1) -> list[dict[str, Any]]:
    until(lambda: len(receiver.events(kind)) >= count, f"{count} of {kind} are told")
    return receiver.events(kind)


def for_two_looks(dataset: Dataset, receiver: Receiver) -> None:
    """Return once two new snapshots, made by the dataset's own rules, were told, one after the other."""
    for _ in range(2):
        known = len(receiver.events("snapshot"))
        (dataset.root / f"look-{known}.png").write_bytes(b"%d" % known)
        wait_for(receiver, "snapshot", known + 1)


def snapshots(dataset: Dataset, count: int, name: str) -> list[float]:
    """Make so many snapshots of one image each; return how long each call took."""
    took = []
    for number in range(count):
        (dataset.root / f"{name}-{number}.png").write_bytes(b"%d" % number)
        began = time.monotonic()
        assert dataset.snapshot()["added"] == 1
        took.append(time.monotonic() - began)
    return took


def test_each_snapshot_of_this_run_is_told_once_in_order_and_signed(dataset: Dataset, receiver: Receiver) -> None:
    """Several are made between two looks; those of the run before are no news; the last one is told at the end."""
    told_by(dataset, receiver)
    first = dataset.start()
    snapshots(dataset, 12, "a")
    first.stop()
    before = [event["snapshot"]["tag"] for event in receiver.events("snapshot")]
    assert before == [one["tag"] for one in reversed(dataset.json_of("log"))]
    second = dataset.start()
    tag = snapshots(dataset, 1, "b") and dataset.status()["snapshot"]["tag"]
    second.stop()
    events = receiver.events("snapshot")
    assert [event["snapshot"]["tag"] for event in events] == [*before, tag]
    assert len({event["id"] for event in events}) == 13
    newest = events[-1]
    assert newest["snapshot"] | {"removed_at": None} == dataset.json_of("log")[0]
    repository = dataset.sections["lakefs"]["repository"]
    assert newest["dataset"] == {"repository": repository, "branch": "main", "source": str(dataset.root)}
    assert newest["text"] == f"syncd {repository}/main: snapshot {tag}: 1 added, 0 changed, 0 deleted"
    for request in receiver.came:
        signed = request.headers["X-Syncd-Timestamp"].encode() + b"." + request.body
        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert request.headers["X-Syncd-Signature"] == f"sha256={expected}"


def test_what_is_refused_for_now_comes_again_with_the_same_id(dataset: Dataset) -> None:
    with receiving(503, 429, headers={"Retry-After": "2"}) as receiver:
        told_by(dataset, receiver).start()
        snapshots(dataset, 1, "a")
        until(lambda: len(receiver.came) == 3, "the third try")
        began = time.monotonic()
        snapshots(dataset, 1, "b")
        wait_for(receiver, "snapshot", 4)
        assert time.monotonic() - began < 20
    ids = [event["id"] for event in receiver.events()]
    assert (len(set(ids[:3])), ids.count(ids[3])) == (1, 1)


def test_a_hold_is_told_with_what_to_do_and_nothing_is_pinged_until_it_is_over(
    dataset: Dataset, receiver: Receiver
) -> None:
    with receiving() as switch:
        dataset.configure(snapshot={"quiet_seconds": 0.5}, guard={"max_delete_percent": 25, "min_objects": 1})
        told_by(dataset, receiver, ping_url=switch.url, ping_seconds=1)
        for number in range(8):
            (dataset.root / f"{number}.png").write_bytes(b"%d" % number)
        dataset.start()
        dataset.snapshot()
        until(lambda: len(switch.paths()) >= 2, "it is in step")
        for number in range(6):
            (dataset.root / f"{number}.png").unlink()
        (held,) = wait_for(receiver, "hold")
        assert held["state"] == "held"
        assert "6 of 8 images are gone" in held["why"]
        assert "syncd approve" in held["next_step"]
        assert "syncd approve" in held["text"]
        until(lambda: switch.paths()[-1] == FAIL, "the switch hears of it")
        pings = len(switch.paths())
        for_two_looks(dataset, receiver)
        assert len(switch.paths()) == pings
        dataset.json_of("approve")
        (over,) = wait_for(receiver, "recovery")
        assert (over["of"], over["next_step"]) == ("hold", "")
        until(lambda: len(switch.paths()) > pings, "it is in step again")
        assert FAIL not in switch.paths()[pings:]
        assert len(receiver.events("hold")) == 1


def test_a_failure_is_told_and_its_end_and_one_that_stands_at_the_start(
    make_dataset: Callable[..., Dataset], own_lakefs_server: ServerProcess, receiver: Receiver
) -> None:
    dataset = told_by(make_dataset(server=own_lakefs_server), receiver, on=["failure", "recovery"])
    daemon = dataset.start()
    snapshots(dataset, 1, "a")
    own_lakefs_server.stop()
    (dataset.root / "b.png").write_bytes(b"b")
    (failure,) = wait_for(receiver, "failure")
    assert failure["state"] == "failing"
    assert failure["why"]
    assert "next:" not in failure["why"]
    daemon.kill()
    dataset.start()
    assert wait_for(receiver, "failure", 2)[1]["id"] != failure["id"]
    own_lakefs_server.start()
    (over,) = wait_for(receiver, "recovery")
    assert over["of"] == "failure"
    assert {event["event"] for event in receiver.events()} == {"failure", "recovery"}, "snapshots were not asked for"


def test_staleness_is_told_once_and_its_end(dataset: Dataset, receiver: Receiver) -> None:
    with receiving() as switch:
        told_by(dataset, receiver, stale_seconds=3, ping_url=switch.url, ping_seconds=1).start()
        dataset.status_until(lambda seen: seen["state"] == "idle", "it is in step")
        (dataset.root / "a.png").write_bytes(b"a")
        (stale,) = wait_for(receiver, "stale")
        assert (stale["state"], stale["next_step"]) == ("waiting", "syncd status")
        until(lambda: switch.paths()[-1:] == [FAIL], "the switch hears of it")
        dataset.snapshot()
        (over,) = wait_for(receiver, "recovery")
        assert over["of"] == "stale"
        assert len(receiver.events("stale")) == 1


def test_a_table_that_is_refused_is_not_in_step(dataset: Dataset, receiver: Receiver) -> None:
    """The newest snapshot holds the last good version of it, the state is idle, and the switch is left alone."""
    table = dataset.directory / "labels.csv"
    table.write_text("id,image\n1,a.png\n")
    dataset.configure(
        tables=[{"name": "labels", "csv": str(table), "key": "id", "poll_seconds": 0.5}],
        snapshot={"quiet_seconds": 0.1},
    )
    with receiving() as switch:
        told_by(dataset, receiver, ping_url=switch.url, ping_seconds=1, on=["snapshot"]).start()
        until(switch.paths, "it is in step")
        table.write_text("id,image\n1,a.png\n1,b.png\n")
        seen = dataset.status_until(lambda seen: seen["not_synced"].get("labels"), "the table is refused")
        assert seen["not_synced"]["labels"] == {"bad-table": 1}
        pings = len(switch.paths())
        for_two_looks(dataset, receiver)
        assert dataset.status_until(lambda seen: seen["state"] == "idle", "nothing goes on")["not_synced"]["labels"]
        for_two_looks(dataset, receiver)
        assert len(switch.paths()) - pings <= 1, "one may have been on its way"
        table.write_text("id,image\n1,a.png\n2,b.png\n")
        pings = len(switch.paths())
        until(lambda: len(switch.paths()) > pings, "it is in step again")


def test_a_path_that_is_not_synced_is_a_difference_until_it_is_left_out_on_purpose(
    dataset: Dataset, receiver: Receiver
) -> None:
    (dataset.root / "link.png").symlink_to("/etc/passwd")
    dataset.configure(snapshot={"quiet_seconds": 0.1})
    with receiving() as switch:
        told_by(dataset, receiver, ping_url=switch.url, ping_seconds=1, on=["snapshot"]).start()
        for_two_looks(dataset, receiver)
        assert dataset.status_until(lambda seen: seen["state"] == "idle", "nothing goes on")["not_synced"]
        for_two_looks(dataset, receiver)
        assert switch.paths() == []
        (dataset.root / ".syncdignore").write_text("link.png\n")
        until(switch.paths, "it is in step")


def test_a_folder_that_is_gone_is_told_with_the_reason(dataset: Dataset, receiver: Receiver) -> None:
    (dataset.root / "a.png").write_bytes(b"a")
    told_by(dataset, receiver).start()
    dataset.snapshot()
    dataset.root.rename(dataset.directory / "elsewhere")
    (held,) = wait_for(receiver, "hold")
    assert (held["state"], str(dataset.root) in held["why"]) == ("held", True), held["why"]
    (dataset.directory / "elsewhere").rename(dataset.root)
    assert wait_for(receiver, "recovery")[0]["of"] == "hold"
    assert [event["event"] for event in receiver.events()] == ["snapshot", "hold", "recovery"]


def test_receivers_that_hang_delay_neither_the_snapshots_nor_the_end(dataset: Dataset) -> None:
    daemon = dataset.start()
    snapshots(dataset, 3, "warm")
    without = snapshots(dataset, COUNT, "without")
    with receiving(always=NEVER) as receiver:
        script = f"echo $$ >> {dataset.directory}/pids; sleep 600"
        told_by(dataset, receiver, command=["/bin/sh", "-c", script], ping_url=receiver.url, ping_seconds=1)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event("configuration_reloaded")
        snapshots(dataset, 1, "first")
        until(lambda: receiver.came, "the receiver is asked")
        with_them = snapshots(dataset, COUNT, "with")
        until((dataset.directory / "pids").exists, "the command runs")
        dataset.configure(notify={"command": ["/absent/tell"]})
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event("configuration_reloaded", count=2)
        with_them += snapshots(dataset, 10, "absent")
        began = time.monotonic()
        daemon.stop()
        end_s = time.monotonic() - began
        assert not receiver.paths() or len(receiver.came) < COUNT, "they hang"
    assert statistics.median(with_them) < 1.5 * statistics.median(without) + 0.05
    assert max(with_them) < max(without) + 3
    assert end_s < 8
    left = daemon.events("notifications_left")
    assert left
    assert left[0]["count"] > COUNT
    for pid in (dataset.directory / "pids").read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_a_command_gets_the_event_and_no_secret_and_one_that_is_not_there_is_named(
    dataset: Dataset, receiver: Receiver
) -> None:
    """What it gets is read from outside, as anyone on the machine may: /proc/PID/environ and its arguments."""
    out = dataset.directory / "out"
    out.mkdir()
    script = (
        f"cat > {out}/$SYNCD_EVENT; cp /proc/$$/environ {out}/environ; cp /proc/$$/cmdline {out}/cmdline; echo done"
    )
    dataset.more_environment = {
        "SYNCD_NOTIFY__PING_URL": f"{receiver.url}/ping",
        "SYNCD_LAKEFS__SECRET_ACCESS_KEY": Path(dataset.sections["lakefs"]["secret_access_key_file"])
        .read_text()
        .strip(),
    }
    told_by(dataset, receiver, command=["/bin/sh", "-c", script, "tell"])
    daemon = dataset.start()
    tag = snapshots(dataset, 1, "a") and dataset.status()["snapshot"]["tag"]
    (done,) = daemon.wait_for_event("notification_command_done")
    assert (done["said"], done["kind"]) == ("done", "snapshot")
    assert tag in (out / "snapshot").read_text()
    secrets = ["canary", *dataset.more_environment.values()]
    for file in out.iterdir():
        assert not [one for one in secrets if one in file.read_text()], file
    receiver.always = 404
    dataset.configure(notify={"command": ["/absent/tell"]})
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_event("configuration_reloaded")
    snapshots(dataset, 1, "b")
    until(
        lambda: len({one["receiver"] for one in daemon.events("notification_failed")} & {"command", "webhook"}) == 2,
        "both are named",
    )
    why = {one["receiver"]: one["why"] for one in daemon.events("notification_failed")}
    assert why["command"] == "it cannot be started: No such file or directory"
    assert why["webhook"] == "the answer was 404"
    shown = dataset.command("config", "show").stdout + dataset.command("status").stdout
    assert not [one for one in secrets if one in shown + daemon.log()]
