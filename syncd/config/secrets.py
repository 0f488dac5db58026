"""Which secrets a configuration holds: what no line of a log may show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.config.settings import Settings

SECRET_KEY = re.compile(r"secret|passw|token|credential|(^|_)url(_|$)|pwd", re.IGNORECASE)
SHORTEST = 4  # a shorter text stands in words, too


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield the secrets of a configuration, the passwords in addresses of databases both quoted and plain."""
    for secret in (settings.lakefs.secret_access_key, settings.service.listen_token):
        if secret is not None:
            yield secret.get_secret_value()
    yield from settings.notify.secrets()
    for table in settings.tables:
        for password in passwords(table.url.get_secret_value() if table.url else ""):
            if len(password) >= SHORTEST:
                yield from {password, unquote(password), unquote_plus(password)}


def passwords(address: str) -> Iterator[str]:
    """Yield what may be a password in an address, in one that is badly quoted, too."""
    _, separator, rest = address.partition("://")
    if separator:
        yield rest.rpartition("@")[0].partition(":")[2]
        for option in rest.partition("?")[2].split("&"):
            key, _, value = option.partition("=")
            if SECRET_KEY.search(key) or key == "key":
                yield value
