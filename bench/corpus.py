"""Images for measuring: real JPEGs of random smooth noise, the same bytes for the same seed.

Run as a script it writes a corpus; so the process that measures never loads Pillow.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FILES_A_FOLDER = 250
QUALITY = 90
_GRAIN = 4  # pixels between two random values: smooth like a photograph, and nothing in it to compress further
_FIRST_SIDE = 192
_DONE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What to write: ``files`` images of ``size_bytes`` on average, some smaller, some larger."""

    files: int
    size_bytes: int
    seed: int

    @property
    def name(self) -> str:
        """The folder's name in the cache; another corpus has another."""
        return f"jpeg-{self.files}x{self.size_bytes}-seed{self.seed}"


def cached(corpus: Corpus, cache: Path) -> Path:
    """Return the folder that holds the corpus, written now if it is not there yet."""
    folder = cache / corpus.name
    if not (cache / f"{corpus.name}.{_DONE}").exists():
        shutil.rmtree(folder, ignore_errors=True)
        values = [str(value) for value in (corpus.files, corpus.size_bytes, corpus.seed)]
        subprocess.run([sys.executable, __file__, str(folder), *values], check=True)
        (cache / f"{corpus.name}.{_DONE}").touch()
    return folder


def linked(folder: Path, copy: Path) -> Path:
    """Return a copy of a corpus made of hard links: its files can be replaced there, but must not be written to."""
    shutil.copytree(folder, copy, copy_function=os.link)
    return copy


def total_bytes(folder: Path) -> int:
    """Return the size of all files of a corpus."""
    return sum(path.stat().st_size for path in folder.rglob("*.jpg"))


def last_touched(folder: Path) -> float:
    """Return when a file of the folder last changed, in seconds since the epoch; a new hard link counts."""
    return max(path.stat().st_ctime for path in folder.rglob("*.jpg"))


def paths(corpus: Corpus) -> list[str]:
    """Return the relative paths of all images."""
    return [f"class-{number // FILES_A_FOLDER:03}/{number:06}.jpg" for number in range(corpus.files)]


def write(corpus: Corpus, folder: Path) -> None:
    """Write all images."""
    side = _side_for(corpus)
    for number, path in enumerate(paths(corpus)):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"{corpus.seed} {number}")
        target.write_bytes(image(rng, round(side * rng.uniform(0.8, 1.2))))


def image(rng: random.Random, side: int) -> bytes:
    """Return a JPEG of so many pixels squared."""
    from PIL import Image  # noqa: PLC0415 - only the process that writes needs it

    coarse = max(1, side // _GRAIN)
    noise = Image.frombytes("RGB", (coarse, coarse), rng.randbytes(coarse * coarse * 3))
    encoded = io.BytesIO()
    noise.resize((side, side), Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()


def _side_for(corpus: Corpus) -> float:
    """Return the side whose images have the size that is asked for, on average over the range of sides."""
    side = float(_FIRST_SIDE)
    for _ in range(3):
        rng = random.Random(corpus.seed)
        sizes = [len(image(rng, round(side * (0.8 + 0.4 * step / 10)))) for step in range(11)]
        side *= (corpus.size_bytes / (sum(sizes) / len(sizes))) ** 0.5
    return side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name in ("files", "size_bytes", "seed"):
        parser.add_argument(name, type=int)
    asked = parser.parse_args()
    write(Corpus(files=asked.files, size_bytes=asked.size_bytes, seed=asked.seed), asked.folder)


if __name__ == "__main__":
    main()
