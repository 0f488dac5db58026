"""Plays the demo: change, wait for the snapshot, show it; at the end read every one back and compare."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from syncd.demo import daemon, digits, witness
from syncd.demo.place import Place, open_place
from syncd.demo.script import Dataset
from syncd.demo.witness import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from syncd.demo.daemon import Daemon
    from syncd.demo.script import Step

    Say = Callable[[str], None]

SHOWN_CHANGES = 4
MARKS = {"added": "+", "changed": "~", "removed": "-"}
REPOSITORY = "digits"


def play(directory: Path | None, *, keep: bool, say: Say) -> bool:
    """Run the whole demo; return whether every snapshot is what the folder held.

    Args:
        directory: Where; None: somewhere temporary.
        keep: Leave the daemon running until Ctrl-C.
        say: Prints a line.

    Raises:
        SyncdError: The daemon did not start, or did not do its work.
    """
    started = time.monotonic()
    with open_place(directory) as place, daemon.running(place) as watching:
        data = Dataset(place.images, place.table, digits.load())
        say(f"syncd run (process {watching.pid}) watches {place.images} and {place.table.name}")
        watching.wait_until_up()
        told = _Told(place, watching, say)
        for number, step in enumerate(data.steps(), start=1):
            told.step(number, step)
        agreed = told.compare()
        told.how_to_look(keep=keep)
        say(f"\n{time.monotonic() - started:.0f} seconds in all")
        if keep:
            _keep(say, place)
    return agreed


class _Told:
    """The story so far: each snapshot, and what the folder held then."""

    def __init__(self, place: Place, watching: Daemon, say: Say) -> None:
        self._place, self._daemon, self._say = place, watching, say
        self._states: list[dict[str, bytes]] = [{}]  # of the folder; the first is before the first step
        self._tags: list[str] = []  # of the snapshot that each step ended in

    def step(self, number: int, step: Step) -> None:
        """Change the folder, and show the snapshot that comes of it."""
        self._say(f"\n{number}. {step.title}\n   {step.detail}")
        step.change()
        self._states.append(self._place.contents())
        if step.asked:
            snapshot = self._daemon.report("snapshot")
        else:
            snapshot = self._daemon.wait_until_in_step(self._tags[-1] if self._tags else None)
        self._tags.append(snapshot["tag"])
        self._show(snapshot)

    def _show(self, snapshot: Mapping[str, Any]) -> None:
        self._say(
            f"   → {snapshot['tag']}   +{snapshot['added']} ~{snapshot['changed']} -{snapshot['deleted']}"
            f"   {snapshot['images']} images, {snapshot['bytes'] / 1e6:.2f} MB   ({snapshot['trigger']})"
        )
        if len(self._tags) < 2:  # noqa: PLR2004 - a difference needs two
            return
        changes = json.loads(self._daemon.command("diff", self._tags[-2], self._tags[-1], "--json"))
        for change in changes[:SHOWN_CHANGES]:
            self._say(f"       {MARKS[change['kind']]} {change['path']}")
        if len(changes) > SHOWN_CHANGES:
            self._say(f"       … and {len(changes) - SHOWN_CHANGES} more")

    def compare(self) -> bool:
        """Read every snapshot back, also one that was made in the middle of a step."""
        self._say("\nReading every snapshot back with boto3, and comparing it byte for byte:")
        address, agreed, step = self._address(), True, 1
        for tag in [snapshot["tag"] for snapshot in reversed(self._daemon.report("log"))]:
            last_of_step = tag in self._tags
            states = self._states[step : step + 1] if last_of_step else self._states[step - 1 : step + 1]
            found = witness.read(address, tag)
            faults = witness.differences(found, states)
            agreed = agreed and not faults
            verdict = "identical" if not faults else f"DIFFERENT: {'; '.join(faults[:SHOWN_CHANGES])}"
            self._say(f"   {tag}   {len(found)} files, {sum(map(len, found.values()))} bytes: {verdict}")
            step += last_of_step
        if set(self._tags) - {snapshot["tag"] for snapshot in self._daemon.report("log")}:
            self._say("   a snapshot is missing from the log")
            return False
        return agreed

    def _address(self) -> Address:
        keys = self._place.state / "lakefs" / "keys"
        return Address(
            endpoint=self._endpoint(),
            access_key_id=(keys / "access_key_id").read_text(encoding="ascii").strip(),
            secret_access_key=(keys / "secret_access_key").read_text(encoding="ascii").strip(),
            repository=REPOSITORY,
        )

    def _endpoint(self) -> str:
        started = json.loads((self._place.state / "lakefs" / "server.json").read_text(encoding="utf-8"))
        return f"http://127.0.0.1:{started['port']}"

    def how_to_look(self, *, keep: bool) -> None:
        """Tell where the snapshots are, and which commands show them."""
        while_running = (
            "while the server runs" if keep else "while the server runs (syncd demo --keep leaves it running)"
        )
        address, config = self._address(), self._place.config
        secret = self._place.state / "lakefs" / "keys" / "secret_access_key"
        before, after = self._tags[-2:]
        self._say(
            f"""
Any S3 client reads a snapshot {while_running}:
   endpoint           {address.endpoint}
   access key id      {address.access_key_id}
   secret access key  in {secret}
   address            s3://{REPOSITORY}/{after}/images/
And syncd tells about them:
   syncd log -c {config}
   syncd diff {before} {after} -c {config}"""
        )


def _keep(say: Say, place: Place) -> None:
    """Wait for Ctrl-C or SIGTERM."""
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    say(f"\nIt keeps running: change {place.images}, and look. Ctrl-C ends it.")
    told_to_stop.wait()
