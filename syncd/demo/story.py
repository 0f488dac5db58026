"""The demo in words: colours and a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.filesize import decimal as size
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from syncd.demo.place import Place
    from syncd.demo.witness import Address

SHOWN_OF_A_KIND = 2
SHOWN_FAULTS = 5
UNBOUNDED = 10_000  # columns, where no terminal wraps: each line stays one
KINDS = {
    "added": ("+", "green"),
    "changed": ("~", "yellow"),
    "removed": ("-", "red"),
    "renamed": ("R", "cyan"),
    "conflict": ("!", "red"),
}


class Story:
    """Tells what happens."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = UNBOUNDED

    def line(self, text: str = "", *, indent: int = 0, style: str = "") -> None:
        """Print a line; on a narrow terminal what follows is indented as far."""
        self._console.print(Padding.indent(Text(text, style=style), indent))

    def paste(self, command: str) -> None:
        """Print a command so that it can be copied whole: nothing but the terminal itself wraps it."""
        self._console.print(Text(f"  {command}", style="cyan"), soft_wrap=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show on a terminal that something takes a while; what is yielded tells how far it is."""
        if not self._console.is_terminal:
            yield lambda _: None
            return
        with self._console.status(text) as moving:
            yield lambda detail: moving.update(f"{text}: {detail}")

    def begins(self, place: Place, binary: Path) -> None:
        """Say what is used."""
        self.line("syncd demo: a folder and a table change, the snapshots come by themselves", style="bold")
        self.line(f"folder  {place.images}", indent=2)
        self.line(f"table   {place.table}", indent=2)
        self.line(f"lakeFS  {binary}", indent=2)

    def step(self, number: int, title: str, detail: str) -> None:
        """Say what is done to the folder."""
        self.line()
        self.line(f"{number}. {title}", style="bold")
        self.line(detail, indent=3)

    def snapshot(self, made: Mapping[str, Any], *, rows: int, after_s: float) -> None:
        """Show a snapshot, as soon as it is there."""
        at = datetime.fromisoformat(made["created_at"]).astimezone().strftime("%H:%M:%S")
        self.line(
            f"{made['tag']}  {at}  +{made['added']:,} ~{made['changed']:,} -{made['deleted']:,}",
            indent=3,
            style="green",
        )
        self.line(
            f"{made['images']:,} images, {rows:,} rows, {size(made['bytes'])};"
            f" trigger: {made['trigger']}, {after_s:.1f} s after the change",
            indent=3,
        )

    def changes(self, difference: Mapping[str, Any], *, before: str) -> None:
        """Show some changes of each kind, as ``syncd diff`` tells them, and count them."""
        renamed = [{"kind": "renamed", "path": f"{one['from']} -> {one['to']}"} for one in difference["renamed"]]
        changes = [*difference["changes"], *renamed]
        counts = Counter(change["kind"] for change in changes)
        for kind in counts:
            mark, style = KINDS[kind]
            some = [change["path"] for change in changes if change["kind"] == kind][:SHOWN_OF_A_KIND]
            for path in some:
                self.line(f"{mark} {path}", indent=5, style=style)
        told = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        self.line(f"in all {told} since {before}", indent=5)
        for table in difference["tables"]:
            if table["added"] is not None:
                told = f"{table['added']:,} rows added, {table['changed']:,} changed, {table['deleted']:,} deleted"
                self.line(f"{table['name']}: {told}", indent=5)

    def compares(self) -> None:
        """Say what comes now."""
        self.line()
        self.line(
            "Every snapshot, read back with boto3 and compared byte for byte with what was there then:", style="bold"
        )

    def verdict(self, tag: str, found: Mapping[str, bytes], faults: Sequence[str], *, between: bool) -> None:
        """Say whether a snapshot is what the folder held."""
        self.line(tag, indent=3)
        amount = f"{len(found):,} files, {sum(map(len, found.values())):,} bytes"
        if not faults:
            word = "each as before or after the step it was made in" if between else "identical"
            self.line(f"{amount}: {word}", indent=5, style="green")
            return
        self.line(f"{amount}: DIFFERENT", indent=5, style="bold red")
        for fault in faults[:SHOWN_FAULTS]:
            self.line(fault, indent=7, style="red")
        if len(faults) > SHOWN_FAULTS:
            self.line(f"… and {len(faults) - SHOWN_FAULTS:,} more", indent=7, style="red")

    def how_to_look(self, place: Place, address: Address, tags: Sequence[str], *, keep: bool) -> None:
        """Tell where the snapshots are, and which commands show them."""
        secret, config = shlex.quote(str(secret_file(place))), shlex.quote(str(place.config))
        before, after = tags[-2:]
        self.line()
        self.line(
            "How to look at them" + ("" if keep else " while it runs; syncd demo --keep leaves it running"),
            style="bold",
        )
        for name, value in (
            ("S3 endpoint", f"{address.endpoint}, path style"),
            ("S3 address", f"s3://{address.repository}/{after}/images/"),
            ("access key id", address.access_key_id),
            ("secret key", f"in {secret_file(place)}"),
        ):
            self.line(f"{name:<14} {value}", indent=2)
        self.paste(f"{_syncd()} log -c {config}")
        self.paste(f"{_syncd()} diff {before} {after} -c {config}")
        self.paste(f'export AWS_ACCESS_KEY_ID={address.access_key_id} AWS_SECRET_ACCESS_KEY="$(cat {secret})"')
        self.paste(f"aws --endpoint-url {address.endpoint} s3 ls s3://{address.repository}/{after}/tables/")
        self.paste(
            f"{shlex.quote(sys.executable)} -c \"import boto3; print(boto3.client('s3', region_name='us-east-1',"
            f" endpoint_url='{address.endpoint}').get_object(Bucket='{address.repository}',"
            f" Key='{after}/tables/labels.csv')['Body'].read(80))\""
        )

    def ends(self, *, agreed: bool, snapshots: int, seconds: float) -> None:
        """Give the result."""
        self.line()
        if agreed:
            self.line(f"All {snapshots} snapshots are what the folder held. {seconds:.0f} seconds.", style="bold green")
        else:
            self.line("Not every snapshot is what the folder held.", style="bold red")

    def keeps_running(self, place: Place, *, temporary: bool) -> None:
        """Invite to play, and say how it ends."""
        self.line(f"It keeps running: change {place.images} or {place.table.name}, then syncd log. Ctrl-C ends it")
        self.line("and removes the folder." if temporary else "and leaves the folder.")


def secret_file(place: Place) -> Path:
    """Return where the embedded server's secret key is kept."""
    return place.state / "lakefs" / "keys" / "secret_access_key"


def _syncd() -> str:
    """Return how syncd is called in this shell."""
    return "syncd" if shutil.which("syncd") else f"{shlex.quote(sys.executable)} -m syncd"
