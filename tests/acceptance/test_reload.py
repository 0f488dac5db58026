"""SIGHUP: a changed configuration takes effect while the real daemon runs, or is kept out whole."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import until
from tests.support.labels import configure

if TYPE_CHECKING:
    from tests.support.daemon import Daemon, Dataset
    from tests.support.labels import CsvLabels

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


def reload(daemon: Daemon, event: str) -> dict[str, object]:
    before = len(daemon.events(event))
    daemon.signal(signal.SIGHUP)
    return daemon.wait_for_event(event, count=before + 1)[-1]


def test_what_can_change_at_once_does(dataset: Dataset) -> None:
    """A snapshot comes by a rule that was not there when the daemon started; its tag is the new one."""
    (dataset.root / "a.png").write_bytes(b"a")
    daemon = dataset.start()
    dataset.status_until(lambda seen: seen["pending"]["uncommitted"] == 1, "it is staged")
    assert dataset.status()["snapshot"] is None
    dataset.configure(snapshot={"quiet_seconds": 0.1, "tag": "new-{seq}"}, guard={"min_objects": 7})
    said = reload(daemon, "configuration_reloaded")
    assert said["changed"] == ["snapshot.quiet_seconds", "snapshot.tag", "guard.min_objects"]
    assert said["at_next_start"] == []
    seen = dataset.status_until(lambda seen: seen["snapshot"], "the new rule makes a snapshot")
    assert seen["snapshot"]["tag"] == "new-1"
    assert seen["configuration"] == {"fault": "", "at_next_start": []}
    assert daemon.exit_code is None


def test_what_needs_a_new_start_is_named_until_there_is_one(dataset: Dataset) -> None:
    daemon = dataset.start()
    dataset.configure(lakefs={"staging_branch": "other"}, upload={"concurrency": 3, "batch_objects": 5})
    said = reload(daemon, "configuration_reloaded")
    later = ["lakefs.staging_branch", "upload.concurrency"]
    assert (said["changed"], said["at_next_start"]) == (["upload.batch_objects"], later)
    assert dataset.status()["configuration"]["at_next_start"] == later
    assert "in effect at the next start: lakefs.staging_branch, upload.concurrency" in dataset.command("status").stdout
    assert reload(daemon, "configuration_reloaded")["at_next_start"] == later, "it was forgotten"
    daemon.stop()
    dataset.start()
    assert dataset.status()["configuration"]["at_next_start"] == []


def test_a_wrong_file_changes_nothing_and_is_named_by_its_line(dataset: Dataset) -> None:
    """All or nothing: what is right in it does not take effect either."""
    (dataset.root / "a.png").write_bytes(b"a")
    daemon = dataset.start()
    dataset.configure(snapshot={"quiet_seconds": 0.1}, guard={"max_delete_percent": 101})
    line = dataset.config.read_text().splitlines().index("max_delete_percent = 101") + 1
    why = str(reload(daemon, "configuration_kept")["why"])
    assert f"{dataset.config.name}:{line}" in why
    assert "guard.max_delete_percent" in why
    assert dataset.status()["configuration"]["fault"] == why
    dataset.status_until(lambda seen: seen["pending"]["uncommitted"] == 1, "it is staged")
    assert dataset.status()["snapshot"] is None
    dataset.config.unlink()
    assert "does not exist" in str(reload(daemon, "configuration_kept")["why"])
    dataset.configure(guard={"max_delete_percent": 100})
    assert "the former configuration is in effect" in dataset.command("status").stdout
    reload(daemon, "configuration_reloaded")
    seen = dataset.status_until(lambda seen: seen["snapshot"], "what is right takes effect")
    assert seen["configuration"]["fault"] == ""


def test_a_file_that_cannot_be_reached_changes_nothing(dataset: Dataset) -> None:
    """Whatever the disk says of it: the daemon goes on as it was, and takes the file once it is there again."""
    daemon = dataset.start()
    moved = dataset.config.with_name("elsewhere")
    dataset.config.rename(moved)
    dataset.config.symlink_to(dataset.config)  # too many levels of symbolic links
    reload(daemon, "configuration_kept")
    assert dataset.status()["configuration"]["fault"] != ""
    moved.replace(dataset.config)
    reload(daemon, "configuration_reloaded")
    assert dataset.status()["configuration"]["fault"] == ""
    assert daemon.exit_code is None


def test_limits_of_tables_change_at_once(dataset: Dataset, csv_labels: CsvLabels) -> None:
    dataset.configure(guard={"max_delete_percent": 25, "min_objects": 1})
    configure(dataset, csv_labels, "off")
    csv_labels.write({str(number): f"{number}.png" for number in range(8)})
    daemon = dataset.start()
    dataset.snapshot()
    dataset.configure(guard={"max_delete_percent": 100})
    reload(daemon, "configuration_reloaded")
    csv_labels.write({"0": "0.png"})
    answer = dataset.snapshot()
    assert not answer["held"]
    until(lambda: dataset.status()["tables"][0]["rows"] == 1, "seven rows of eight went unasked")
