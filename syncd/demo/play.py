"""Plays the demo: change, wait for the snapshot, show it; at the end read every one back and compare."""

from __future__ import annotations

import json
import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from syncd.demo import daemon, digits
from syncd.demo.place import REPOSITORY, Place, open_place
from syncd.demo.script import Dataset
from syncd.demo.story import secret_file
from syncd.demo.witness import Address, Witness, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from syncd.demo.daemon import Daemon
    from syncd.demo.digits import Digit
    from syncd.demo.script import Step
    from syncd.demo.story import Story

    State = dict[str, bytes]  # what the folder and the table hold: by path on the branch


def play(
    directory: Path | None,
    *,
    keep: bool,
    story: Story,
    binary: Path,
    load: Callable[[], Sequence[Digit]] = digits.load,
    remember: Callable[[Place], State] = Place.contents,
) -> bool:
    """Run the whole demo; return whether every snapshot is what the folder held.

    Args:
        directory: Where; None: somewhere temporary.
        keep: Leave the daemon running until Ctrl-C.
        story: Tells it.
        binary: The lakeFS that the daemon will find.
        load: Brings the digits.
        remember: Notes what the folder holds, for the comparison.

    Raises:
        SyncdError: The daemon did not start, or did not do its work.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        place = stack.enter_context(open_place(directory))
        story.begins(place, binary)
        with story.busy("reading the digits"):
            data = Dataset(place.images, place.table, place.database, load())
        first, *others = data.steps()
        acts = _Acts(place, story, remember)
        acts.change(1, first)
        watching = stack.enter_context(daemon.running(place))
        story.line(f"syncd run watches them from now on (process {watching.pid})", indent=3)
        acts.show(watching, first)
        for number, step in enumerate(others, start=2):
            acts.change(number, step)
            acts.show(watching, step)
        agreed = acts.compare(watching.report("log"))
        story.how_to_look(place, acts.address(), acts.tags, keep=keep)
        story.ends(agreed=agreed, snapshots=len(acts.tags), seconds=time.monotonic() - started)
        if keep:
            story.keeps_running(place, temporary=directory is None)
            _until_told_to_stop()
    return agreed


class _Acts:
    """The demo so far: each step's snapshot, and what the folder held then."""

    def __init__(self, place: Place, story: Story, remember: Callable[[Place], State]) -> None:
        self._place, self._story, self._remember = place, story, remember
        self._states: list[State] = [{}]  # of the folder; the first is before the first step
        self._changed_at = 0.0
        self.tags: list[str] = []  # of the snapshot that each step ended in

    def change(self, number: int, step: Step) -> None:
        """Change the folder, and remember what it holds."""
        self._story.step(number, step.title, step.detail)
        step.change()
        self._changed_at = time.monotonic()
        self._states.append(self._remember(self._place))

    def show(self, watching: Daemon, step: Step) -> None:
        """Show the snapshot that comes of it."""
        before = self.tags[-1] if self.tags else None
        with self._story.busy("waiting for the snapshot") as busy:
            snapshot = watching.report("snapshot") if step.asked else watching.next_snapshot(before, busy)
        self.tags.append(snapshot["tag"])
        rows = self._states[-1]["tables/labels.csv"].count(b"\n") - 1
        self._story.snapshot(snapshot, rows=rows, after_s=time.monotonic() - self._changed_at)
        if before is not None:
            self._story.changes(watching.report("diff", before, snapshot["tag"]), before=before)

    def compare(self, log: Sequence[Mapping[str, Any]]) -> bool:
        """Read every snapshot of the log back, also one that was made in the middle of a step."""
        self._story.compares()
        step, agreed = 1, True
        with Witness(self.address()) as outsider:
            for tag in [snapshot["tag"] for snapshot in reversed(log)]:
                last_of_step = tag in self.tags
                states = self._states[step : step + 1] if last_of_step else self._states[step - 1 : step + 1]
                with self._story.busy(f"reading {tag}"):
                    found = outsider.read(tag)
                faults = differences(found, states)
                agreed = agreed and not faults
                self._story.verdict(tag, found, faults, between=not last_of_step)
                step += last_of_step
        return agreed and step == len(self._states)

    def address(self) -> Address:
        """Return how any S3 client reaches the daemon's lakeFS."""
        secret = secret_file(self._place)
        start = json.loads((self._place.state / "lakefs" / "server.json").read_text(encoding="utf-8"))
        return Address(
            endpoint=f"http://127.0.0.1:{start['port']}",
            access_key_id=secret.with_name("access_key_id").read_text(encoding="ascii").strip(),
            secret_access_key=secret.read_text(encoding="ascii").strip(),
            repository=REPOSITORY,
        )


def _until_told_to_stop() -> None:
    """Wait for Ctrl-C, SIGTERM, or the terminal's end."""
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: told_to_stop.set())
    told_to_stop.wait()
