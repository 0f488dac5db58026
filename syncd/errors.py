"""Every error syncd raises on purpose: the fact, its likely cause, and what to do next."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_HELD = 3
EXIT_SOURCE_UNAVAILABLE = 4
EXIT_LAKEFS_UNAVAILABLE = 5
EXIT_BAD_CONFIGURATION = 78


class SyncdError(Exception):
    """Base of every error syncd raises on purpose.

    Args:
        fact: What happened, as one sentence without a trailing full stop.
        cause: The likely cause, or "" when the fact says it all.
        next_step: The command to run or the thing to change, or "".
    """

    exit_code: int = EXIT_FAILED  # of a command that ends with this error
    kind: str = "other"  # one word for it, where errors are counted

    def __init__(self, fact: str, *, cause: str = "", next_step: str = "") -> None:
        self.fact, self.cause, self.next_step = fact, cause, next_step
        super().__init__(fact)

    def __str__(self) -> str:
        """Return the fact and cause as sentences, the next step on a line of its own."""
        said = ". ".join(part.rstrip(".") for part in (self.fact, self.cause) if part) + "."
        return f"{said}\n  next: {self.next_step}" if self.next_step else said


class ConfigError(SyncdError):
    """The configuration cannot be used; the text lists every fault, one a line."""

    exit_code = EXIT_BAD_CONFIGURATION

    def __str__(self) -> str:
        """Return the list of faults as it is: it carries its own lines."""
        return f"{self.fact}\n  next: {self.next_step}" if self.next_step else self.fact


class UsageError(SyncdError):
    """The command was called in a way that cannot work."""

    exit_code = EXIT_USAGE


class HeldError(SyncdError):
    """syncd waits for a person's decision and does not go on by itself."""

    exit_code = EXIT_HELD


class SourceUnavailableError(SyncdError):
    """The source cannot be read at all; nothing may be concluded from its emptiness."""

    exit_code = EXIT_SOURCE_UNAVAILABLE


class JournalError(SyncdError):
    """The journal in the state directory cannot be opened, read or written."""

    kind = "journal"


class JournalBrokenError(JournalError):
    """The journal cannot be trusted by this process any more; the next start examines it, and may set it aside."""


class RepeatedRowError(SyncdError):
    """Two rows of one version of a table have the same key: the version is at fault, or two were mixed."""


class AlreadyRunningError(SyncdError):
    """Another syncd holds this state directory."""


class EmbeddedServerError(SyncdError):
    """The embedded lakeFS server could not be found, built or started."""

    exit_code = EXIT_LAKEFS_UNAVAILABLE


class StoreError(SyncdError):
    """A call to lakeFS did not do what was asked; the subclasses say what that means."""

    exit_code = EXIT_LAKEFS_UNAVAILABLE
    kind = "store"


class TransientStoreError(StoreError):
    """The same call may work later: no connection, a timeout, 429, 5xx.

    Whether the call was applied is unknown.
    """

    kind = "transient"

    def __init__(self, fact: str, *, cause: str = "", next_step: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(fact, cause=cause, next_step=next_step)
        self.retry_after_s = retry_after_s  # what the server asked for; None: it did not say


class StaleStoreError(TransientStoreError):
    """What was known of the branches does not hold any more, and has to be read anew before the same call works."""

    kind = "stale"


class PermanentStoreError(StoreError):
    """lakeFS refused this one request for what it is; the same request will be refused again."""

    exit_code = EXIT_FAILED
    kind = "refused"


class ContentChangedStoreError(PermanentStoreError):
    """The bytes to send are not those of the fingerprint, or cannot be read any more: observe the file again."""

    kind = "changed_under_way"


class LostBodyError(PermanentStoreError):
    """The bytes to send are not here any more, and nobody is left to observe them again."""

    kind = "lost"


class NothingToCommitError(StoreError):
    """The branch holds no uncommitted change, or the merge would change nothing."""

    kind = "nothing_to_do"


class NotFoundStoreError(PermanentStoreError):
    """The repository, branch, commit or tag named in the request does not exist."""

    kind = "not_found"


class ConflictStoreError(PermanentStoreError):
    """What should be created exists already, or a merge conflicts."""

    kind = "conflict"


class NeedsPersonStoreError(StoreError):
    """No retry will help until someone changes something: credentials, rights, a refusing hook, the clock."""

    exit_code = EXIT_HELD
    kind = "needs_person"


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first error of a task group out by itself: the others came of it, or say the same."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
