"""The handwritten digits of scikit-learn, as PNG images."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageEnhance

SIDE_PIXELS = 8  # as they are
SHOWN_PIXELS = 32  # as they are written: large enough to look at
_BRIGHTEST = 16  # in scikit-learn's data, which starts at 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """One handwritten digit."""

    label: int  # 0 to 9: what it shows
    pixels: bytes  # SIDE_PIXELS rows of SIDE_PIXELS, 0 black to 255 white


def load() -> list[Digit]:
    """Return the 1,797 digits that scikit-learn brings along; always the same, in the same order."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - takes some seconds, and only the demo needs it

    data = load_digits()
    pixels = (data.images * (255 / _BRIGHTEST)).astype("uint8")
    return [Digit(label=int(label), pixels=image.tobytes()) for label, image in zip(data.target, pixels, strict=True)]


def png(digit: Digit, *, contrast: float = 1.0, degrees: float = 0.0) -> bytes:
    """Return a PNG file of a digit; equal arguments give equal bytes.

    Args:
        digit: What to draw.
        contrast: 1 leaves it as it is, more is harder.
        degrees: Turned so far to the left.
    """
    small = Image.frombytes("L", (SIDE_PIXELS, SIDE_PIXELS), digit.pixels)
    image = small.resize((SHOWN_PIXELS, SHOWN_PIXELS), Image.Resampling.BICUBIC)
    if degrees:
        image = image.rotate(degrees, Image.Resampling.BICUBIC)
    if contrast != 1:
        image = ImageEnhance.Contrast(image).enhance(contrast)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
