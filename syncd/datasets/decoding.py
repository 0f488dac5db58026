"""From the bytes of an image to what a model is fed with. Pillow is imported when it is first needed."""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any

from syncd.errors import UsageError
from syncd.snapshots.arrow import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable


def decoder(asked: str | Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return what decodes an image.

    Args:
        asked: "pil", "bytes", or a function of the bytes.

    Raises:
        UsageError: There is no such decoder.
        MissingExtraError: Pillow is not installed.
    """
    if callable(asked):
        return asked
    if asked == "bytes":
        return as_they_are
    if asked == "pil":
        _pillow()
        return pil_image
    raise UsageError(f"decode={asked!r} is none", next_step='say "pil", "bytes", or a function that takes bytes')


def as_they_are(content: bytes) -> bytes:
    """Return the bytes."""
    return content


def pil_image(content: bytes) -> Any:
    """Return a ``PIL.Image.Image``, its pixels decoded, in the mode the file has; raises what Pillow does."""
    image = _pillow().open(io.BytesIO(content))
    image.load()  # else damage is found by whoever looks at the pixels
    return image


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise MissingExtraError(
            'decode="pil" needs Pillow, which cannot be imported',
            cause=f"it is not installed here, or is broken: {error}",
            next_step='pip install pillow, or say decode="bytes"',
        ) from error
