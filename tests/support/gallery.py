"""Images to show: digits, photos, and what strangers put among them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

SCRIPT = "<script>alert(1)</script>"


def digits(folder: Path, count: int) -> list[tuple[str, str]]:
    """Write scanned digits of 8 by 8 pixels; return their paths below the folder's parent, and what they are."""
    folder.mkdir(parents=True)
    found, rows = load_digits(), []
    for number in range(count):
        path = folder / f"{number:05}.png"
        Image.fromarray((found.images[number] * 15.9).astype(np.uint8)).save(path)
        rows.append((f"{folder.name}/{path.name}", str(found.target[number])))
    return rows


def photos(folder: Path) -> list[tuple[str, str]]:
    """Write larger photos, in pieces of two of them; return as :func:`digits`."""
    folder.mkdir(parents=True)
    rows = []
    for at, photo in enumerate(load_sample_images().images):
        image = Image.fromarray(photo).resize((2560, 1708))
        for piece in range(3):
            path = folder / f"photo-{at}{piece}.jpg"
            image.crop((piece * 200, piece * 150, 1960 + piece * 200, 1408 + piece * 150)).save(path, quality=88)
            rows.append((f"{folder.name}/{path.name}", "photo"))
    return rows


def hostile(folder: Path) -> int:
    """Write files that try to break who shows them; return how many."""
    folder.mkdir(parents=True)
    small = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(small, "PNG")
    png = small.getvalue()
    files = {
        "<img src=x onerror=alert(1)>.png": png,
        '" onmouseover="alert(1)" x=".png': png,
        "{{ 7 * 7 }}.png": png,
        "\u202egnp.evil.png": png,
        "ctrl\x1b[31mred\x07.png": png,
        "'; DROP TABLE entry; --.png": png,
        "bomb.png": bomb(20_000, 20_000),
        "cut.png": png[: len(png) // 2],
        "polyglot.png": b"<html>" + SCRIPT.encode() + png,
        "script.svg": f'<svg xmlns="http://www.w3.org/2000/svg">{SCRIPT}</svg>'.encode(),
        "page.html.png": f"<!doctype html>{SCRIPT}".encode(),
        "empty.jpg": b"",
    }
    for name, content in files.items():
        (folder / name.replace("/", "_")).write_bytes(content)
    return len(files)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of few bytes and very many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack("!I", len(body)) + kind + body + struct.pack("!I", zlib.crc32(kind + body))

    squeezed = zlib.compressobj(9)
    row, lines = b"\0" * (width + 1), bytearray()
    for _ in range(height // 100):
        lines += squeezed.compress(row * 100)
    lines += squeezed.flush()
    header = struct.pack("!IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(lines)) + chunk(b"IEND", b"")
