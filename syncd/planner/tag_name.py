"""Snapshot tags: rendered from a template. Pure: the time is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from string import Formatter

from syncd.names import tag_faults

DEFAULT_TIME_FORMAT = "%Y%m%dT%H%M%SZ"

_NUMBERS = re.compile("(-([2-9]|[1-9][0-9]))*")  # 2 to 99: the committer tries no others; again, if it was cut off
_SAMPLE_TIME = datetime(2026, 11, 22, 23, 57, 44, tzinfo=UTC)
_STEPS = tuple(timedelta(seconds=s) for s in (1, 60, 3600, 86_400, 31 * 86_400, 365 * 86_400))
_SAMPLE_SEQUENCES = (1, 2, 10, 10**9, 10**9 + 1)


def render_tag(template: str, *, time: datetime, seq: int) -> str:
    """Return the tag of one snapshot.

    Args:
        template: Text with ``{seq}`` and ``{time}``, each with an optional format after a colon.
        time: The snapshot's moment, time-zone-aware; it is written in UTC, by default as 20261122T235744Z.
        seq: The snapshot's number, counted from 1.

    Raises:
        ValueError: The template is malformed, names another field, or the time has no zone.
    """
    if time.tzinfo is None:
        raise ValueError("the time of a tag must carry a time zone (use UTC)")
    values = {"time": time.astimezone(UTC), "seq": seq}
    rendered = []
    for literal, field, form, conversion in Formatter().parse(template):
        rendered.append(literal)
        if field is None:
            continue
        if field not in values or conversion:
            raise ValueError(f"only {{time}} and {{seq}} can be filled in, not {{{field}}}")
        default = DEFAULT_TIME_FORMAT if field == "time" else ""
        rendered.append(format(values[field], form or default))
    return "".join(rendered)


def is_tag_for(tag: str, meant: str | None) -> bool:
    """Return whether a tag is a snapshot's own: the one it was to get, or with a number, as where the name was taken.

    Args:
        tag: Of the snapshot's commit; it may be a person's.
        meant: What the commit says it was to get; None: it says nothing, and whose the tag is cannot be told.
    """
    if not meant or not tag.startswith(meant):
        return False
    return _NUMBERS.fullmatch(tag, len(meant)) is not None


def template_faults(template: str) -> list[str]:
    """Return every reason why a template cannot name snapshots; empty when it can.

    Two snapshots may never get one name, so the template must hold the sequence number or the whole time.
    """
    try:
        sample = render_tag(template, time=_SAMPLE_TIME, seq=1)
        distinct = _tells_apart(template)
    except (ValueError, OverflowError) as error:
        return [f"cannot be filled in: {error}"]
    faults = [f"{fault} (it gives {sample!r})" for fault in tag_faults(sample)]
    if not distinct:
        faults.append("must hold {seq}, or {time} with date and time down to the second, to name each snapshot once")
    return faults


def _tells_apart(template: str) -> bool:
    sequences = {render_tag(template, time=_SAMPLE_TIME, seq=seq) for seq in _SAMPLE_SEQUENCES}
    if len(sequences) == len(_SAMPLE_SEQUENCES):
        return True
    times = [_SAMPLE_TIME, *(_SAMPLE_TIME + step for step in _STEPS)]
    return len({render_tag(template, time=time, seq=1) for time in times}) == len(times)
