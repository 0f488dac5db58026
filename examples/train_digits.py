"""Train on a snapshot of moving data, and get the same score again from its name alone.

    python train_digits.py take         a snapshot of what is in place now, a model, and model-TAG.json beside it
    python train_digits.py score TAG    the same data once more, wherever and whenever: the same score

``take`` goes into the middle of a pipeline, beside a running ``syncd run``. ``score`` only reads: it needs neither the
daemon nor the folder. Both read a folder of PNG images and a table ``labels`` with the columns id, image and label, as
``syncd demo --keep --dir digits`` makes them (then ``--config digits/syncd.toml``).

The tag stands for the data; that the code and scikit-learn are the same is Git's and the lock file's part.

Needs scikit-learn and pillow: pip install "syncd[demo]"
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image
from sklearn.ensemble import RandomForestClassifier

import syncd

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDE_PIXELS = 16
TESTED_OF_TEN = 2


class Sample(NamedTuple):
    """An image and what its row says."""

    key: str
    pixels: bytes
    label: str


def samples(snapshot: syncd.Snapshot) -> list[Sample]:
    """Return all images that have a row, in the order of their keys: a renamed file is nothing new."""
    described = [(image, row) for image in snapshot.images() if (row := image.row("labels"))]
    with ThreadPoolExecutor(16) as threads:  # reading is waiting, most of the time
        pixels = threads.map(lambda one: pixels_of(one[0]), described)
        return sorted(
            Sample(str(row["id"]), image, str(row["label"])) for (_, row), image in zip(described, pixels, strict=True)
        )


def pixels_of(image: syncd.Image) -> bytes:
    """Return an image's grey values, a byte each."""
    with Image.open(image.open()) as opened:
        return opened.convert("L").resize((SIDE_PIXELS, SIDE_PIXELS)).tobytes()


def is_for_testing(sample: Sample) -> bool:
    """Split by the key, not by chance or position: a row stays where it is whatever comes and goes around it."""
    return hashlib.sha256(sample.key.encode()).digest()[0] % 10 < TESTED_OF_TEN


def trained(snapshot: syncd.Snapshot) -> dict[str, object]:
    """Train a model on a snapshot, and return what belongs beside it: what it was trained on, and how good it is."""
    every = samples(snapshot)
    training = [one for one in every if not is_for_testing(one)]
    testing = [one for one in every if is_for_testing(one)]
    if not training or not testing:
        sys.exit(f"{snapshot.name}: {len(every)} images with a row are too few to train on and to test with")
    model = RandomForestClassifier(n_estimators=50, random_state=0)
    model.fit(*columns(training))
    return {
        "tag": snapshot.tag,
        "commit": snapshot.commit_id,
        "digest": snapshot.digest,
        "trained_on": len(training),
        "tested_on": len(testing),
        "score": float(model.score(*columns(testing))),
    }


def columns(some: Sequence[Sample]) -> tuple[list[list[int]], list[str]]:
    """Return the features and the labels, as scikit-learn takes them."""
    return [list(one.pixels) for one in some], [one.label for one in some]


def take(options: argparse.Namespace) -> None:
    """Take a snapshot, train on it, and write what it was beside the model."""
    with syncd.connect(options.config, repository=options.repository) as daemon:
        snapshot = daemon.snapshot(reason="train digits")
        if snapshot.left_out:
            sys.exit(f"files were still being written: {snapshot.left_out}")
        said = trained(snapshot)
    card_of(snapshot).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    show(said)


def score(options: argparse.Namespace) -> None:
    """Train once more on a snapshot that there is; where its model was noted, the score must be the noted one."""
    with syncd.open(options.repository, options.ref, config=options.config) as snapshot:
        said = trained(snapshot)
        card = card_of(snapshot)
    show(said)
    if card.exists() and json.loads(card.read_text(encoding="utf-8")) != said:
        sys.exit(f"{card} says otherwise")


def card_of(snapshot: syncd.Snapshot) -> Path:
    """Return where it is noted what a model was trained on: its name is the snapshot's."""
    return Path(f"model-{snapshot.name}.json")


def show(said: dict[str, object]) -> None:
    """Print a line for people."""
    print(f"{said['tag']}: score {said['score']} ({said['trained_on']} images to train, {said['tested_on']} to test)")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help="syncd's configuration; else ./syncd.toml and the like")
    common.add_argument("--repository", help="else the configured one")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("take", parents=[common]).set_defaults(run=take)
    scoring = commands.add_parser("score", parents=[common])
    scoring.add_argument("ref", metavar="TAG")
    scoring.set_defaults(run=score)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
