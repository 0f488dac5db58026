"""How a database and its faults are named: never with a password, a user, or a driver's text that may hold them."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from syncd.sources.tables.base import TableFaultError, TableUnavailableError
from syncd.sources.tree import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import URL

_SECRET_OPTION = re.compile("pass|secret|token|key", re.IGNORECASE)
_MASK = "***"
_SHOWN_CHARACTERS = 60
_DRIVER_CHARACTERS = 300
_MOST_NEAR = 3


class UnfitError(Exception):
    """A value that its column's kind cannot hold; the text says what it is."""


class MissingTableError(TableFaultError):
    """There is no such table."""


class Address:
    """What may be said of a URL: its kind, host and database."""

    def __init__(self, url: URL) -> None:
        kind = url.get_backend_name()
        host = url.host or ""
        self.name = f"{kind}://{host}/{url.database or ''}"
        secrets = [url.password or ""]
        secrets += [str(value) for option, value in url.query.items() if _SECRET_OPTION.search(option)]
        written = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
        self._secrets = sorted(filter(None, written), key=len, reverse=True)
        self._user = url.username or ""

    def clean(self, error: BaseException | str) -> str:
        """Return a driver's text as one line in which no password and no quoted user name is left."""
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        for mark in "\"'" if self._user else "":
            text = text.replace(f"{mark}{self._user}{mark}", f"{mark}{_MASK}{mark}")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("^")]
        return shortened("; ".join(lines).rstrip(".?"), _DRIVER_CHARACTERS)

    def unavailable(self, fact: str, cause: BaseException | str = "", *, next_step: str = "") -> TableUnavailableError:
        """Return the error for a database that does not answer now."""
        return TableUnavailableError(f"{self.name} {fact}", cause=self.clean(cause), next_step=next_step)

    def fault(self, fact: str, cause: BaseException | str = "", *, next_step: str = "") -> TableFaultError:
        """Return the error for what someone must change."""
        return TableFaultError(f"{self.name} {fact}", cause=self.clean(cause), next_step=next_step)


def shortened(text: str, most: int = _SHOWN_CHARACTERS) -> str:
    """Return a text that any terminal can take, cut to a length."""
    text = shown(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def value_shown(value: object) -> str:
    """Return a value as a person would look for it."""
    if isinstance(value, bytes):
        return shortened(f"0x{value[:_SHOWN_CHARACTERS].hex()}")
    if isinstance(value, str):
        return f'"{shortened(value)}"'
    return shortened(str(value))


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question for the next step: which of these names was meant?"""
    known = sorted(set(names))
    folded = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), folded, _MOST_NEAR, 0.5)
    quoted = [f'"{shortened(folded[match])}"' for match in near]
    if quoted:
        return f"did you mean {' or '.join(quoted)}? Names are compared exactly"
    return f"there are: {shortened(', '.join(known), 200)}" if known else "correct its name"
