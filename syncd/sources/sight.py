"""What looking at the folder showed, passed from the threads that look to the event loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from syncd.model import Agreed, ProblemCode, Signature


class Fault(NamedTuple):
    """One path that cannot be synced as it is."""

    path: str
    code: ProblemCode
    detail: str


@dataclass(slots=True)
class Sight:
    """One look, or one piece of a longer one. A path is in one of the lists; paths are relative to the root."""

    changed: list[tuple[str, Signature]] = field(default_factory=list)  # to be read once settled
    absent: list[str] = field(default_factory=list)  # known before, confirmed not to be there
    quiet: list[str] = field(default_factory=list)  # looked at on a hint, and nothing to do
    faults: list[Fault] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)  # directories ("a/b/") confirmed not to be there; keys live below
    vanished: list[str] = field(default_factory=list)  # directories not there, whether or not keys live below
    trees: list[str] = field(default_factory=list)  # directories to list with all below them
    entered: list[str] = field(default_factory=list)  # directories looked at on a hint, that can be listed
    unread: list[str] = field(default_factory=list)  # directories that could not be listed: nothing known of them
    agreed: list[Agreed] = field(default_factory=list)  # directories where all is as known
    rules_changed: bool = False  # .syncdignore has an event
