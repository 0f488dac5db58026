"""The rules for single values: each takes a text, returns it in its settled form, or says what is wrong.

A ``ValueError`` here carries a rule in words. It never repeats the value: the fault shows it, masked where needed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import get_close_matches
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from syncd import addresses
from syncd.names import branch_fault, repository_fault
from syncd.planner.tag_name import template_faults

EMBEDDED = "embedded"  # the endpoint's value for the server syncd runs itself
MAX_PREFIX_BYTES = 512  # half of what lakeFS allows a whole path; the rest is for the files' own names

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1} | {
    letter + suffix: base**power
    for suffix, base in (("i", 1024), ("", 1000))
    for power, letter in enumerate("kmgt", start=1)
}
OWN_NAMES = ("images", "_closure")  # of the folder as a source, and of what the gate keeps until it is sent
_RESERVED_FOLDERS = ("_lakefs_actions", "_lakefs")  # lakeFS reads policy and state there


def parse_size(value: object) -> object:
    """Return a size in bytes from a whole number or a text such as "256MiB" or "1.5 GB"."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError('must be a size in bytes, such as 1048576, "256MiB" or "1GB"')
    number, unit = match.group(1), (match.group(2) or "").lower()
    whole, _, decimals = number.partition(".")
    scale = 10 ** len(decimals)
    size, rest = divmod(int(whole + decimals) * _UNITS[unit], scale)
    if rest:
        raise ValueError("must be a whole number of bytes")
    return size


def format_size(size: int) -> str:
    """Return a size in the largest unit that gives a whole number: "256MiB", "1GB", "1001B"."""
    for unit in ("ti", "gi", "mi", "ki", "t", "g", "m", "k"):
        if size and size % _UNITS[unit] == 0:
            letter = "k" if unit == "k" else unit[0].upper()
            return f"{size // _UNITS[unit]}{letter}{unit[1:]}B"
    return f"{size}B"


def repository_name(value: str) -> str:
    """Hold a repository's name against lakeFS's rule."""
    return _named(value, repository_fault(value))


def branch_name(value: str) -> str:
    """Hold a branch's name against lakeFS's rule."""
    return _named(value, branch_fault(value))


def _named(value: str, fault: str | None) -> str:
    if fault is not None:
        raise ValueError(fault)
    return value


def table_name(value: str) -> str:
    """Hold a table's name against what fits a path, tables/NAME.csv or tables/NAME/, and against syncd's own names."""
    if not re.fullmatch("[A-Za-z0-9_-]+", value):
        raise ValueError("must be of letters, digits, _ and - only: it becomes a file's name")
    if value.lower() in OWN_NAMES:
        raise ValueError("is a name syncd uses itself; choose another")
    return value


def column_name(value: str) -> str:
    """Refuse a blank column name."""
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def image_pattern(value: str) -> str:
    """Refuse a regular expression that cannot be read, or has no group for the path."""
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    if value and not groups:
        raise ValueError("must hold a group for the path, such as (?P<path>.+)")
    return value


def pattern(value: str) -> str:
    """Refuse gitignore lines that cannot match anything, or not what was meant."""
    if not value.strip() or value.strip() in ("!", "/"):
        raise ValueError("must not be an empty pattern")
    if value.startswith("#"):
        raise ValueError(r"would be read as a comment: write \# for a name that begins with #")
    if any(ord(char) < ord(" ") for char in value):
        raise ValueError("must not contain line breaks or control characters")
    return value


def prefix(value: str) -> str:
    """Return the prefix with its closing "/", or "" for the top of the branch."""
    if not value:
        return ""
    if value.startswith("/"):
        raise ValueError('must not begin with "/"')
    segments = value.removesuffix("/").split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError('must not hold empty parts, "." or ".."')
    if any(not char.isprintable() for char in value):
        raise ValueError("must not contain line breaks or control characters")
    if segments[0] in _RESERVED_FOLDERS:
        raise ValueError(f"must not lie below {segments[0]}/: lakeFS keeps it for itself")
    settled = "/".join(segments) + "/"
    if len(settled.encode()) > MAX_PREFIX_BYTES:
        raise ValueError(f"must not be longer than {MAX_PREFIX_BYTES} bytes")
    return settled


def endpoint(value: str) -> str:
    """Return the address of a lakeFS server without path, or "embedded"."""
    return EMBEDDED if value in ("", EMBEDDED) else http_address(value.strip().rstrip("/").removesuffix("/api/v1"))


def http_address(value: str) -> str:
    """Return an http or https address without path; "" stays."""
    if not value:
        return ""
    form = 'must be like "http://host:8000" or "https://host"'
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"\s", value):
        raise ValueError(form)
    if "@" in parts.netloc:
        raise ValueError("must not carry a user or password: set access_key_id and secret_access_key_file")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{form}, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def web_address(value: object) -> object:
    """Refuse what is no http or https address. Its path may be a secret."""
    if not isinstance(value, str):
        return value
    form = 'must be like "https://host/path"'
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(form) from None
    fits = parts.scheme in ("http", "https") and parts.hostname and port != 0 and not parts.fragment
    if not fits or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(form)
    return value


def command_line(value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what cannot be started; () stays."""
    if value and not value[0].startswith("/"):
        raise ValueError('must begin with the absolute path of a program, such as "/usr/local/bin/tell"')
    if any("\0" in part for part in value):
        raise ValueError("must not contain a NUL character")
    return value


def storage_namespace(value: str) -> str:
    """Refuse what is not a storage address; which buckets exist, only the server knows."""
    if value and not re.fullmatch(r"[a-z][a-z0-9]*://[^\s/?#]\S*", value):
        raise ValueError('must be like "s3://bucket/path" or "local://name"')
    return value


def access_key_id(value: str) -> str:
    """Hold an access key id against what the S3 signature's form allows at lakeFS."""
    if not re.fullmatch(r"[^\s/,=]{3,20}", value) or not value.isascii() or not value.isprintable():
        raise ValueError("must be 3 to 20 characters, without spaces: lakeFS finds no longer one in a request")
    return value


def cron_expression(value: str) -> str:
    """Refuse an expression that cronsim cannot read, or that never comes due."""
    if not value.strip():
        return ""
    fields = "the fields are: minute hour day-of-month month day-of-week"
    try:
        next(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC)))
    except StopIteration:
        raise ValueError("never comes due") from None
    except (CronSimError, AssertionError) as error:
        raise ValueError(f"is not a cron expression: {error or 'bad field'} ({fields})") from None
    return value.strip()


def time_zone(value: str) -> str:
    """Refuse a name that the time zone database does not know."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        close = get_close_matches(value, sorted(available_timezones()), n=1)
        hint = f"; did you mean {close[0]}?" if close else ', such as "Europe/Berlin"'
        raise ValueError(f"must be a time zone's name{hint}") from None
    return value


def tag_template(value: str) -> str:
    """Refuse a template whose tags lakeFS would refuse, or that names two snapshots alike."""
    if faults := template_faults(value):
        raise ValueError("; ".join(faults))
    return value


def listen_address(value: str) -> str:
    """Refuse what is not HOST:PORT with an address of this machine; "" stays."""
    if value:
        addresses.listen_address(value)
    return value
