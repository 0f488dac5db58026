"""Every secret that the configuration, the environment and lakectl's file may hold, and a filter that lets none pass.

Read from where they stand, not from the checked configuration: one that cannot be used has secrets, too.
"""

from __future__ import annotations

import json
import re
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from syncd.config.credentials import MAX_SECRET_BYTES, read_lakectl
from syncd.config.load import leaves
from syncd.config.report import value_at
from syncd.config.secrets import SECRET_KEY, SHORTEST, passwords
from syncd.embedded.installation import Installation
from syncd.presence import expanded, is_file
from syncd.service.logs import HIDDEN, Redaction
from syncd.sources.tree import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncd.config import Settings
    from syncd.doctor.findings import Finding

_HARMLESS = re.compile(r"^(OLD)?PWD$|^LAKECTL_SERVER_|_DIRECTORY$|_FILE$")
_ALL_SECRET = ("webhook_url", "ping_url")
_WHOLE = "\0"


class Cleaner:
    """Takes secrets out of texts, and control characters: what is left can be shown, pasted and sent.

    Args:
        secrets: What must not be seen, in any of the forms that an address writes it in.
    """

    def __init__(self, secrets: set[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        self._redaction = Redaction(forms)

    def text(self, text: str) -> str:
        """Return a text of several lines, cleaned."""
        cleaned = self._redaction(None, "", {"text": text})["text"]
        return "\n".join(shown(line) for line in str(cleaned).split("\n"))

    def line(self, text: str) -> str:
        """Return a text as one line, cleaned."""
        return shown(self.text(text).replace("\n", "\\x0a"))

    def finding(self, finding: Finding) -> Finding:
        """Return a finding, cleaned."""
        return replace(finding, fact=self.line(finding.fact), fix=self.line(finding.fix))

    def value(self, value: Any) -> Any:
        """Return a JSON value with all its texts cleaned, those of keys too."""
        if isinstance(value, dict):
            return {self.line(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return self.line(value) if isinstance(value, str) else value


def secrets_of(path: Path | None, settings: Settings | None, environ: Mapping[str, str]) -> set[str]:
    """Return every secret there is, read where it stands.

    Args:
        path: The configuration file, if there is one.
        settings: The configuration, if it can be used.
        environ: The environment variables.
    """
    found = {value for name, value in environ.items() if SECRET_KEY.search(name) and not _HARMLESS.search(name)}
    for name, value in environ.items():
        if name.endswith("_FILE") and SECRET_KEY.search(name):
            found |= _held(Path(value))
    if path is not None:
        with suppress(OSError, ValueError):
            found |= set(_in_table(tomllib.loads(path.read_text("utf-8-sig")), path.parent))
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    lakectl = read_lakectl(environ, home=home, cwd=Path.cwd())
    for layer in (lakectl.environment, lakectl.file):
        found.add(str(layer.get("lakefs", "secret_access_key") or ""))
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        with suppress(OSError):
            found |= {secret for file in Path(folder).iterdir() for secret in _held(file)}
    if settings is not None:
        found |= set(_of_settings(settings))
    found |= {password for secret in found for password in passwords(secret.removeprefix(_WHOLE))}
    return {secret for secret in found if not _is_plain_address(secret)}


def _of_settings(settings: Settings) -> Iterator[str]:
    for loc in leaves(settings):
        reveal = getattr(value_at(settings, loc), "get_secret_value", None)
        if reveal is not None:
            secret = str(reveal())
            yield _whole(secret) if loc[-1] in _ALL_SECRET else secret
    if settings.service.listen_token_file is not None:
        yield from _held(settings.service.listen_token_file)
    keys = Installation(settings.service.state_dir).keys_dir
    yield from _held(keys / "secret_access_key")
    yield from _held(keys / "encryption_secret")


def _in_table(table: Mapping[str, Any], base: Path) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _in_table(value, base)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _in_table(item, base)
        elif isinstance(value, str) and SECRET_KEY.search(key):
            if key.endswith("_file"):
                yield from _held(base / expanded(value))
            else:
                yield _whole(value) if key in _ALL_SECRET else value


def _held(file: Path) -> set[str]:
    with suppress(OSError, ValueError):
        if is_file(file):
            with file.open("rb") as opened:
                return {opened.read(MAX_SECRET_BYTES).decode(errors="replace").strip()}
    return set()


def _is_plain_address(text: str) -> bool:
    """Return whether it is an address without a password: such as that of an SQLite file, which may be shown."""
    return "://" in text and not text.startswith(_WHOLE) and not any(passwords(text))


def _whole(address: str) -> str:
    """Mark an address that is a secret as a whole: its path may be a password."""
    return _WHOLE + address


def _forms(secret: str) -> Iterator[str]:
    secret = secret.removeprefix(_WHOLE)
    for plain in (secret, unquote(secret), unquote_plus(secret)):
        yield plain
        yield quote(plain, safe="")
        yield quote_plus(plain)
        yield shown(plain)
        yield json.dumps(plain)[1:-1]


__all__ = ["HIDDEN", "Cleaner", "secrets_of"]
