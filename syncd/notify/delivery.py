"""What it means to deliver: the shape of whatever sends, how it fails, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from syncd.notify.notice import Notice

LIMIT_S = 10.0  # for a request over the network, from the name's resolution to the end of the answer


class UndeliveredError(Exception):
    """It did not arrive, as far as is known. The text holds no address and no secret.

    Args:
        words: What happened.
        again: Whether the same may work later.
        after_s: What the receiver asked for, in seconds; None: nothing.
    """

    def __init__(self, words: str, *, again: bool, after_s: float | None = None) -> None:
        super().__init__(words)
        self.again, self.after_s = again, after_s


class Sender(Protocol):
    """Sends one notice, once, within a time of its own."""

    async def send(self, notice: Notice) -> None:
        """Return once it has arrived.

        Raises:
            UndeliveredError: It has not.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for a receiver that does not work."""

    first_s: float = 1.0  # before the second try; doubled each time
    most_s: float = 60.0  # but no longer than this, unless the receiver asks for it
    longest_asked_s: float = 300.0  # what it may ask for
    tries: int = 20
    all_s: float = 600.0  # after this long since the event none is begun


def pause_s(patience: Patience, *, tries: int, age_s: float, asked_s: float | None, jitter: float) -> float | None:
    """Return how long to wait before the next try; None: it is given up.

    Args:
        patience: The bounds.
        tries: How many there have been, at least 1.
        age_s: How long the notice has been on its way.
        asked_s: What the receiver asked for.
        jitter: In [0, 1): spreads those that failed together.
    """
    grown_s = min(patience.most_s, patience.first_s * 2.0 ** min(tries - 1, 30)) * (0.5 + jitter / 2)
    wait_s = max(grown_s, min(asked_s or 0.0, patience.longest_asked_s))
    if tries >= patience.tries or age_s + wait_s > patience.all_s:
        return None
    return wait_s
