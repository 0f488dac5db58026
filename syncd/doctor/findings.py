"""What a check found, and what a list of findings means for the exit code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from syncd.errors import EXIT_BAD_CONFIGURATION, EXIT_DONE, EXIT_FAILED, EXIT_LAKEFS_UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.errors import SyncdError

CONFIGURATION = "configuration"
LAKEFS_REACHABLE, S3_REACHABLE = "lakefs.reachable", "s3.reachable"
_UNAVAILABLE = {LAKEFS_REACHABLE, S3_REACHABLE}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str  # stable, such as "folder.watches"; several findings may share one
    level: Literal["ok", "warn", "fail"]  # warn: syncd works, but not as well as it could, or not for long
    fact: str  # one sentence without a full stop
    fix: str = ""  # what to paste or to do; "" where nothing is to be done


def ok(name: str, fact: str) -> Finding:
    """Return a finding that is well."""
    return Finding(name, "ok", fact)


def warn(name: str, fact: str, fix: str) -> Finding:
    """Return a finding that syncd can live with."""
    return Finding(name, "warn", fact, fix)


def fail(name: str, fact: str, fix: str) -> Finding:
    """Return a finding that keeps syncd from its work."""
    return Finding(name, "fail", fact, fix)


def of_error(name: str, error: SyncdError) -> Finding:
    """Return what one of syncd's errors says: its fact with the cause, its next step as the fix."""
    said = ". ".join(part.rstrip(".") for part in (error.fact, error.cause) if part)
    return fail(name, said, error.next_step)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return how a command ends that found these.

    0: nothing fails. 78: the configuration cannot be used. 5: all that fails is that lakeFS cannot be reached. 1: else.
    """
    failing = {finding.name for finding in findings if finding.level == "fail"}
    if not failing:
        return EXIT_DONE
    if CONFIGURATION in failing:
        return EXIT_BAD_CONFIGURATION
    return EXIT_LAKEFS_UNAVAILABLE if failing <= _UNAVAILABLE else EXIT_FAILED


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return ``{"checks": [{"name", "level", "fact", "fix"}], "ok": …}``; the keys are stable."""
    return {"checks": [asdict(finding) for finding in findings], "ok": exit_code(findings) == EXIT_DONE}


def as_lines(findings: Sequence[Finding]) -> list[str]:
    """Return them as people read them: a line each, the fix below it, and how many there are of each level."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:<4}  {finding.name:<{width}}  {finding.fact}")
        if finding.fix:
            lines.append(f"{'':<{width + 8}}fix: {finding.fix}")
    count = {level: sum(finding.level == level for finding in findings) for level in ("ok", "warn", "fail")}
    return [*lines, ", ".join(f"{number} {level}" for level, number in count.items())]
