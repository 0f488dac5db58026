"""Tells whoever wants to know of each request: what it was, how it ended, how long it took."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from syncd.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

S3, API = "s3", "api"  # the interfaces
OK = "ok"
GIVEN_UP = "given_up"  # cancelled, or ended by what the caller did with the answer


class Observer(Protocol):
    """Called once for each request."""

    def __call__(self, interface: str, operation: str, result: str, seconds: float, /) -> None:
        """Take note; must be quick."""


def nobody(_interface: str, _operation: str, _result: str, _seconds: float, /) -> None:
    """Take no note."""


@contextmanager
def observed(observer: Observer, interface: str, operation: str) -> Iterator[None]:
    """Observe the request that is made in here; whatever it raises is a ``StoreError``, or not of its making."""
    started_s, result = time.monotonic(), GIVEN_UP
    try:
        yield
        result = OK
    except StoreError as error:
        result = error.kind
        raise
    finally:
        observer(interface, operation, result, time.monotonic() - started_s)
