"""Asking: a flag's value, or a person at the terminal, again until the answer stands up to a look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from syncd.errors import SyncdError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")


class SetupError(SyncdError):
    """An answer cannot be used, or a step cannot be done."""


class Terminal(Protocol):
    """A person who can be asked."""

    def text(self, question: str, default: str) -> str:
        """Return a line; the default for an empty one."""

    def secret(self, question: str) -> str:
        """Return a line that is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the flags say; None: nothing."""

    config: Path  # absolute
    root: str | None = None
    csv: str | None = None
    table_url_file: str | None = None
    table: str | None = None
    key: str | None = None
    image_column: str | None = None
    endpoint: str | None = None
    access_key_id: str | None = None
    secret_access_key_file: str | None = None
    repository: str | None = None
    storage_namespace: str | None = None
    publish_branch: str = "main"


class Questions:
    """Where answers come from, and where is said what was seen.

    Args:
        terminal: The person; None: only flags count.
        say: Takes one line for people.
    """

    def __init__(self, terminal: Terminal | None, say: Callable[[str], None]) -> None:
        self.terminal, self.say = terminal, say

    def settle(self, given: str | None, flag: str, question: str, look: Callable[[str], T], *, default: str = "") -> T:
        """Return what a look at the answer gives. A person is asked again until it does; a flag has one try.

        Raises:
            SyncdError: The flag's value cannot be used, or there is neither flag nor person.
        """
        if given is not None:
            return look(given)
        if self.terminal is None:
            raise missing([flag])
        while True:
            try:
                return look(self.terminal.text(question, default))
            except SyncdError as error:
                self.say(str(error))


def missing(flags: Sequence[str], cause: str = "") -> UsageError:
    """Return the error for flags that nobody is there to be asked for."""
    return UsageError(
        f"Not given: {', '.join(flags)}",
        cause=cause or "There is no terminal to ask at",
        next_step="give them, or run syncd init on a terminal",
    )


def hold(rule: Callable[[str], str], flag: str, value: str) -> str:
    """Return a value in its settled form.

    Raises:
        UsageError: It breaks the rule.
    """
    try:
        return rule(value)
    except ValueError as error:
        raise UsageError(f"{flag}: {value!r} {error}") from None
