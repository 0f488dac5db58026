"""Which faults a lakeFS version is known for. Pure.

Each was seen on a running server, or is an issue of treeverse/lakeFS that names the version which mends it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Version = tuple[int, int, int]


class ServerFault(NamedTuple):
    """One fault that matters beside syncd; those that syncd works around are no reason to do anything."""

    below: Version  # the first version without it
    fact: str


TESTED: Version = (1, 84, 0)  # what syncd's tests run against
_FAULTS = (
    ServerFault((1, 56, 0), "uploads over https by newer S3 clients are refused, though not syncd's (issue 8545)"),
    ServerFault((1, 0, 0), "its API is not the one that syncd speaks"),
)


def parsed(version: str) -> Version | None:
    """Return a version as numbers; None for one that is not a release, such as that of a build from source."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def known_faults(version: Version) -> list[str]:
    """Return what is known to be wrong with a version."""
    return [fault.fact for fault in _FAULTS if version < fault.below]
