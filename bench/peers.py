"""Those that are measured, each doing the same work in its own way: a folder, from nothing into lakeFS."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import corpus as files
import tools
from place import configure

if TYPE_CHECKING:
    from measure import Cost
    from place import Place

SYNCD = Path(sys.executable).with_name("syncd")
UNDER = "images"  # where syncd puts images, and so the others
_REF_FILE = ".lakefs_ref.yaml"  # lakectl's index; rclone and s5cmd would take it for a file of the folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a peer made, and what each of its steps cost."""

    steps: dict[str, Cost]
    repository: str
    reference: str = "main"  # branch, commit or tag
    holds_files: bool = True  # under their names; else as objects of the peer's own, or not in lakeFS at all

    @property
    def cost(self) -> Cost:
        """All steps together."""
        first, *others = self.steps.values()
        return sum(others, start=first)


class Peer(Protocol):
    """A way to bring a folder into lakeFS."""

    @property
    def name(self) -> str:
        """Return what it is called in the results."""

    @property
    def does(self) -> str:
        """Return what is measured of it."""

    def first(self, place: Place) -> Outcome:
        """Bring the folder into a new repository."""


@dataclass(frozen=True, slots=True)
class Syncd:
    """With the default configuration."""

    name: str = "syncd sync"
    does: str = "lists, reads, SHA-256 and MD5, journal; makes repository and branches; uploads, commits, merges, tags"

    def first(self, place: Place) -> Outcome:
        state = place.fresh("syncd")
        place.wait_until_at_rest()
        command = [SYNCD, "sync", "--json", "--config", configure(place, state, root=place.corpus)]
        done = place.measured(command, state)
        return Outcome(steps={"sync": done.cost}, repository=state.name, reference=json.loads(done.stdout)["tag"])


@dataclass(frozen=True, slots=True)
class Lakectl:
    """In a repository that is there already."""

    parallelism: int | None = None
    does: str = "`local init` and `local commit`: lists, uploads, commits; makes no tag"

    @property
    def name(self) -> str:
        """Return it with its parallelism, unless that is the default."""
        return "lakectl local" + (f" -p {self.parallelism}" if self.parallelism else "")

    def first(self, place: Place) -> Outcome:
        state = place.fresh("lakectl")
        place.repository(state.name)
        steps = {"init": self.init(place, state, state.name), "commit": self.commit(place, state)}
        self.forget(place)
        return Outcome(steps=steps, repository=state.name)

    def init(self, place: Place, state: Path, repository: str, branch: str = "main") -> Cost:
        """Set the work copy up for a branch, and for no other any more."""
        self.forget(place)
        uri = f"lakefs://{repository}/{branch}/{UNDER}/"
        return place.measured([tools.lakectl(), "local", "init", uri, place.work_copy, "--gitignore=false"], state).cost

    def forget(self, place: Place) -> None:
        """Leave nothing of lakectl's in the work copy."""
        (place.work_copy / _REF_FILE).unlink(missing_ok=True)

    def commit(self, place: Place, state: Path) -> Cost:
        """Bring what differs into the branch that the folder was set up with."""
        parallelism = ["-p", str(self.parallelism)] if self.parallelism else []
        said = ["-m", "bench", "--yes", "--no-progress", *parallelism]
        return place.measured([tools.lakectl(), "local", "commit", place.work_copy, *said], state).cost


@dataclass(frozen=True, slots=True)
class S5cmd:
    """Through the S3 gateway."""

    name: str = "s5cmd cp"
    does: str = "uploads; no commit, no record of what was sent"

    def first(self, place: Place) -> Outcome:
        state = place.fresh("s5cmd")
        place.repository(state.name)
        command = [tools.s5cmd() or "", "cp", f"{place.work_copy}/", f"s3://{state.name}/main/{UNDER}/"]
        return Outcome(steps={"cp": place.measured(command, state).cost}, repository=state.name)


@dataclass(frozen=True, slots=True)
class Rclone:
    """Through the S3 gateway."""

    transfers: int = 32
    does: str = "uploads with an MD5 of each; no commit"

    @property
    def name(self) -> str:
        """Return it with its parallelism, whose default is 4."""
        return f"rclone sync --transfers {self.transfers}"

    def first(self, place: Place) -> Outcome:
        state = place.fresh("rclone")
        place.repository(state.name)
        return Outcome(steps={"sync": self.sync(place, state, state.name)}, repository=state.name)

    def sync(self, place: Place, state: Path, repository: str, branch: str = "main", *more: str) -> Cost:
        """Make a branch hold what the work copy holds."""
        many = ["--transfers", str(self.transfers), "--checkers", str(self.transfers), *more]
        there = f"here:{repository}/{branch}/{UNDER}"
        return place.measured([tools.rclone() or "", "sync", place.work_copy, there, *many], state).cost


@dataclass(frozen=True, slots=True)
class Dvc:
    """With lakeFS as its S3 remote, without Git."""

    name: str = "dvc add, push"
    does: str = "hashes and copies into its cache, uploads by hash; no commit"

    def first(self, place: Place) -> Outcome:
        state, dvc = place.fresh("dvc"), (tools.environment() or Path()) / "dvc"
        place.repository(state.name)
        files.linked(place.corpus, state / "images")
        for setting_up in (
            ["init", "--no-scm", "--quiet"],
            ["remote", "add", "--default", "here", f"s3://{state.name}/main/{UNDER}"],
            ["remote", "modify", "here", "endpointurl", place.server.endpoint],
        ):
            place.measured([dvc, *setting_up], state, within=state)
        commands = {"add": ["add", "--quiet", "images"], "push": ["push", "--quiet"]}
        steps = {step: place.measured([dvc, *words], state, within=state).cost for step, words in commands.items()}
        return Outcome(steps=steps, repository=state.name, holds_files=False)


@dataclass(frozen=True, slots=True)
class Oxen:
    """Into its own repository on the same disk: it speaks to servers of its own only, and none is on PyPI."""

    name: str = "oxen add, commit"
    does: str = "hashes and copies into its own store on the same disk; nothing is sent to a server"

    def first(self, place: Place) -> Outcome:
        state = place.fresh("oxen")
        place.repository(state.name)
        files.linked(place.corpus, state / "work" / "images")
        python, program = (tools.environment() or Path()) / "python", Path(__file__).with_name("oxen_commit.py")
        cost = place.measured([python, program, state / "work"], state).cost
        return Outcome(steps={"add, commit": cost}, repository=state.name, holds_files=False)


def all_peers() -> list[Peer]:
    """Return syncd and all that could be had, syncd first."""
    found: list[Peer] = [Syncd(), Lakectl(), Lakectl(parallelism=128)]
    if tools.s5cmd():
        found.append(S5cmd())
    if tools.rclone():
        found.append(Rclone())
    if tools.environment():
        found += [Dvc(), Oxen()]
    return found
