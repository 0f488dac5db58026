"""Runs checks: all at once, each with a time limit, and none keeps another from being made.

Blocking work runs in threads that nobody waits for at the end: a disk that does not answer must not hold up the
process that says so.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from syncd.doctor.findings import Finding, fail, of_error
from syncd.errors import SyncdError
from syncd.threads import in_thread_apart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

T = TypeVar("T")

CHECK_LIMIT_S = 15.0  # for one check; what it cleans up comes on top
_REPORT = "syncd bundle, and report it"


class Check(NamedTuple):
    """One subject to look at."""

    name: str  # of the finding that says that the look itself failed
    look: Callable[[], AsyncGenerator[Finding, None]]  # gives what it finds, one after the other


async def examine(checks: Sequence[Check], *, limit_s: float = CHECK_LIMIT_S) -> list[Finding]:
    """Make the checks at the same time and return what they found, in the order of the checks."""
    found = await asyncio.gather(*(_made(check, limit_s) for check in checks))
    return [finding for findings in found for finding in findings]


async def _made(check: Check, limit_s: float) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with asyncio.timeout(limit_s), aclosing(check.look()) as findings:
            async for finding in findings:
                found.append(finding)  # noqa: PERF401 - what was found before an error counts
    except TimeoutError:
        found.append(fail(check.name, f"it was given up after {limit_s:g} s", "is a disk, a network or a server slow?"))
    except SyncdError as error:
        found.append(of_error(check.name, error))
    except Exception as error:  # noqa: BLE001 - one check that fails must not keep the others from being told
        found.append(fail(check.name, f"the check itself failed: {type(error).__name__}: {error}", _REPORT))
    return found


async def in_thread(work: Callable[[], T], *, limit_s: float) -> T:
    """Return what blocking work returns.

    Args:
        work: It goes on in its thread when nobody waits for it any more, and ends with the process at the latest.
        limit_s: How long it is waited for.

    Raises:
        TimeoutError: It takes longer.
    """
    async with asyncio.timeout(limit_s):
        return await in_thread_apart(work, "syncd-doctor")
