"""Files for measuring, the same bytes for the same seed: JPEGs of smooth noise, or noise alone where only size counts.

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES_A_FOLDER = 250
FOLDERS_A_SET = 40
FILES_A_SET = FILES_A_FOLDER * FOLDERS_A_SET
QUALITY = 90
_GRAIN = 4  # pixels between two random values: smooth like a photograph, and nothing in it to compress further
_FIRST_SIDE = 192
_DONE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What to write: ``files`` files of ``size_bytes``, JPEGs on average (some smaller, some larger), noise exactly."""

    files: int
    size_bytes: int
    seed: int = 1
    kind: Literal["jpeg", "noise"] = "jpeg"

    @property
    def name(self) -> str:
        """The folder's name in the cache; another corpus has another."""
        return f"{self.kind}-{self.files}x{self.size_bytes}-seed{self.seed}"

    def __str__(self) -> str:
        """Say what it is."""
        what = "JPEGs" if self.kind == "jpeg" else "files"
        return f"{self.files:,} {what} of {self.size_bytes:,} bytes, seed {self.seed}"


def cached(corpus: Corpus, cache: Path) -> Path:
    """Return the folder that holds the corpus, written now if it is not there yet."""
    folder = cache / corpus.name
    if not (cache / f"{corpus.name}.{_DONE}").exists():
        shutil.rmtree(folder, ignore_errors=True)
        values = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(corpus).items()]
        subprocess.run([sys.executable, __file__, str(folder), *values], check=True)
        (cache / f"{corpus.name}.{_DONE}").touch()
    return folder


def linked(folder: Path, copy: Path) -> Path:
    """Return a copy of a corpus made of hard links: its files can be replaced there, but must not be written to."""
    shutil.copytree(folder, copy, copy_function=os.link)
    return copy


def total_bytes(folder: Path) -> int:
    """Return the size of all files of a corpus."""
    return sum(entry.stat().st_size for entry in _entries(folder))


def last_touched(folder: Path) -> float:
    """Return when a file of the folder last changed, in seconds since the epoch; a new hard link counts."""
    return max(entry.stat().st_ctime for entry in _entries(folder))


def paths(corpus: Corpus) -> Iterator[str]:
    """Yield the relative paths of all files."""
    for number in range(corpus.files):
        folder = number // FILES_A_FOLDER
        yield f"set-{folder // FOLDERS_A_SET:03}/class-{folder:04}/{number:07}.jpg"


def write(corpus: Corpus, folder: Path) -> None:
    """Write all files."""
    side = _side_for(corpus) if corpus.kind == "jpeg" else 0
    for number, path in enumerate(paths(corpus)):
        target = folder / path
        if number % FILES_A_FOLDER == 0:
            target.parent.mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"{corpus.seed} {number}")
        if corpus.kind == "jpeg":
            target.write_bytes(image(rng, round(side * rng.uniform(0.8, 1.2))))
        else:
            target.write_bytes(rng.randbytes(corpus.size_bytes))


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


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all files below a folder; a million of them take seconds, as paths they took minutes."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))
            else:
                yield entry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=["jpeg", "noise"], default="jpeg")
    for name in ("--files", "--size-bytes", "--seed"):
        parser.add_argument(name, type=int, required=True)
    asked = vars(parser.parse_args())
    write(Corpus(**{name: value for name, value in asked.items() if name != "folder"}), asked["folder"])


if __name__ == "__main__":
    main()
