"""Decodes images, as a process of its own: what a hostile one breaks, or uses up, is this process.

Run as ``python -I -m syncd.thumbnails.child``; see ``wire`` for what goes in and out. Needs Pillow.
"""

from __future__ import annotations

import io
import resource
import sys
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from syncd.thumbnails import wire

if TYPE_CHECKING:
    from collections.abc import Callable

# Those that Pillow decodes by itself: some others start programs.
_WANTED = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
Image.init()
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)  # some Pillows lack some
MOST_PIXELS = 100_000_000
MOST_BYTES_OF_MEMORY = 1 << 30
MOST_CPU_S = 5  # for one image
MOST_FILES = 16
SMALL_EDGE = 64  # what is smaller is shown with its pixels, as large squares
JPEG_QUALITY = 82
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class NotShownError(Exception):
    """There is no picture of it; the text says why."""


def main() -> None:
    """Answer until there is nothing more to read."""
    limit(resource.RLIMIT_AS, MOST_BYTES_OF_MEMORY)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_NOFILE, MOST_FILES)
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    while (asked := _read(sys.stdin.buffer)) is not None:
        _limit_cpu()
        content, edge = asked
        kind, body, size = _answer(lambda: picture(content, edge))  # noqa: B023 - called at once
        sys.stdout.buffer.write(wire.ANSWER.pack(kind, len(body), *size) + body)
        sys.stdout.buffer.flush()


def picture(content: bytes, edge: int) -> tuple[bytes, bytes, tuple[int, int]]:
    """Return a picture's kind and bytes, and the size of the image in pixels.

    Args:
        content: The image.
        edge: The longest edge that is wanted, in pixels.

    Raises:
        NotShownError: It is too large.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        size = image.size
        if image.width * image.height > MOST_PIXELS:
            raise NotShownError(f"it has {image.width:,} by {image.height:,} pixels")
        image.draft("RGB", (2 * edge, 2 * edge))
        small = _eight_bits(image)
        small.thumbnail((edge, edge))
        small = ImageOps.exif_transpose(small)
    if max(small.size) < SMALL_EDGE:
        times = max(1, edge // 2 // max(small.size))
        small = small.resize((small.width * times, small.height * times), Image.Resampling.NEAREST)
    elif small.mode in {"RGB", "L"}:
        return wire.JPEG, _saved(small, "JPEG", quality=JPEG_QUALITY), size
    return wire.PNG, _saved(small, "PNG"), size


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return it as RGB, RGBA or grey."""
    if image.mode in _SIXTEEN_BITS:
        lowest, highest = image.getextrema()
        span = max(1, int(highest) - int(lowest))  # type: ignore[arg-type]  # of one band: two numbers
        return image.convert("I").point(lambda value: (value - int(lowest)) * (255 / span)).convert("L")  # type: ignore[arg-type]
    if image.mode == "P" or "A" in image.mode or "a" in image.mode:
        return image.convert("RGBA" if "transparency" in image.info or image.mode != "P" else "RGB")
    return image if image.mode in {"RGB", "L"} else image.convert("L" if image.mode in {"1", "F"} else "RGB")


def _saved(image: Image.Image, form: str, **how: int) -> bytes:
    written = io.BytesIO()
    image.save(written, form, **how)
    return written.getvalue()


def _answer(
    work: Callable[[], tuple[bytes, bytes, tuple[int, int]]],
) -> tuple[bytes, bytes, tuple[int, int]]:
    try:
        return work()
    except NotShownError as error:
        why = str(error)
    except Image.DecompressionBombError:
        why = "it has too many pixels"
    except UnidentifiedImageError:
        why = "it is no image of a kind that can be shown"
    except MemoryError:
        why = "it needs too much memory"
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises
        why = f"it cannot be decoded: {error}"
    return wire.NOT, why.encode("utf-8", "replace")[:500], (0, 0)


def _read(source: BinaryIO) -> tuple[bytes, int] | None:
    header = source.read(wire.REQUEST.size)
    if len(header) < wire.REQUEST.size:
        return None
    length, edge = wire.REQUEST.unpack(header)
    return source.read(length), edge


def limit(what: int, most: int) -> None:
    """Set a limit of this process, below what it has."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _limit_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + MOST_CPU_S, hard))


if __name__ == "__main__":
    main()
