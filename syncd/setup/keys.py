"""Which key pair syncd uses: a new server gets one made here, another is opened with one that somebody has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from syncd.config import rules
from syncd.setup.probes import absolute
from syncd.setup.questions import SetupError, hold, missing
from syncd.setup.write import key_id_of, make_secret, read_stored, secret_beside, write_new

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.setup.questions import Given, Questions


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair of lakeFS."""

    access_key_id: str
    secret: str
    file: Path  # where the secret is, or is to be

    def __repr__(self) -> str:
        """Return what may be shown of it."""
        return f"Key({self.access_key_id})"

    def store(self) -> None:
        """Write the secret, unless the file holds it."""
        if read_stored(self.file) != self.secret:
            write_new(self.file, self.secret + "\n", mode=0o600)

    def answers(self) -> dict[str, Any]:
        """Return its keys of the configuration."""
        return {"access_key_id": self.access_key_id, "secret_access_key_file": str(self.file)}


class Keys:
    """The flags, the secret that may be there from a run before, and the person.

    Args:
        given: The flags.
        questions: The person.
        former_id: The key id in the configuration that is there; "": none.
    """

    def __init__(self, given: Given, questions: Questions, former_id: str) -> None:
        self._given, self._questions, self._former_id = given, questions, former_id
        named = given.secret_access_key_file
        self.file = absolute(named) if named else secret_beside(given.config)

    def lacking(self) -> list[str]:
        """Return the flags without which a server that is set up cannot be opened, where nobody can be asked."""
        if read_stored(self.file) is not None:
            return []
        flags = {
            "--access-key-id": self._given.access_key_id,
            "--secret-access-key-file": self._given.secret_access_key_file,
        }
        return [flag for flag, value in flags.items() if value is None]

    def for_new_server(self) -> Key:
        """Return a new key, or the one that a killed run has stored."""
        secret = read_stored(self.file) or make_secret()
        return Key(self._given_id() or key_id_of(secret), secret, self.file)

    def stored(self) -> Key | None:
        """Return the key whose secret is in the file; None: there is no such file."""
        secret = read_stored(self.file)
        return Key(self._given_id() or self._former_id or key_id_of(secret), secret, self.file) if secret else None

    def asked(self) -> Key:
        """Return the key that a person tells.

        Raises:
            SyncdError: There is nobody, or the file holds another secret.
        """
        terminal = self._questions.terminal
        if terminal is None:
            if self._given.secret_access_key_file and self._given.access_key_id:
                raise SetupError(f"{self.file} does not exist", next_step="put the secret there, chmod 600")
            raise missing(self.lacking())
        key_id = self._questions.settle(self._given.access_key_id, "--access-key-id", "Access key id", _checked_id)
        secret = terminal.secret("Secret access key (not shown)").strip()
        if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise SetupError("A secret is one word of ASCII characters")
        if read_stored(self.file) not in (None, secret):
            raise SetupError(
                f"{self.file} holds another secret", next_step="move it away, or name another --secret-access-key-file"
            )
        return Key(key_id, secret, self.file)

    def _given_id(self) -> str | None:
        return None if self._given.access_key_id is None else _checked_id(self._given.access_key_id)


def _checked_id(text: str) -> str:
    return hold(rules.access_key_id, "--access-key-id", text)
