"""The lakeFS SDK, imported in half the time: its functions check their arguments as ever, from their first call on.

The SDK wraps each of its several hundred functions in a check that pydantic puts together at the import: 0.8 of the
3 seconds that a start of syncd took, for some twenty that are ever called.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import pydantic.v1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _at_first_call(function: Callable[..., Any]) -> Callable[..., Any]:
    checked: Callable[..., Any] | None = None

    @wraps(function)
    def call(*args: Any, **values: Any) -> Any:
        nonlocal checked
        if checked is None:
            checked = _validate_arguments(function)
        return checked(*args, **values)

    return call


_validate_arguments = pydantic.v1.validate_arguments


@contextmanager
def _checks_made_late() -> Iterator[None]:
    pydantic.v1.validate_arguments = _at_first_call  # type: ignore[assignment]
    try:
        yield
    finally:
        pydantic.v1.validate_arguments = _validate_arguments


with _checks_made_late():
    from lakefs_sdk.client import LakeFSClient
    from lakefs_sdk.configuration import Configuration
    from lakefs_sdk.exceptions import ApiException, OpenApiException

__all__ = ["ApiException", "Configuration", "LakeFSClient", "OpenApiException"]
