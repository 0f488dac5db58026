"""Loads a dataset with PyTorch in the ways that the tests ask for; prints JSON. No test itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Subset, random_split

import syncd
from syncd.datasets import SampleError
from syncd.integrations.torch import SnapshotDataset


def sample(image: Any, row: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """A transform that can be pickled."""
    return torch.frombuffer(bytearray(image), dtype=torch.uint8), int(row["label"])


def epochs(dataset: Dataset[Any], count: int, **options: Any) -> list[list[list[int]]]:
    """The labels of each batch of each epoch, after a look at the pictures that go with them."""
    loader = DataLoader(dataset, batch_size=4, **options)
    found = []
    for _ in range(count):
        found.append([])
        for pictures, labels in loader:
            assert pictures.dtype == torch.uint8
            assert [bytes(picture.tolist()) for picture in pictures] == [b"%03d" % int(label) for label in labels]
            found[-1].append(labels.tolist())
    return found


def shuffled(dataset: Dataset[Any], seed: int, **options: Any) -> list[list[list[int]]]:
    return epochs(dataset, 2, shuffle=True, generator=torch.Generator().manual_seed(seed), **options)


def damaged(snapshot: syncd.Snapshot, method: str) -> str:
    """What a worker says of an image that cannot be decoded."""
    dataset = SnapshotDataset(snapshot, table="labels")
    try:
        list(DataLoader(dataset, num_workers=1, multiprocessing_context=method, collate_fn=list))
    except SampleError as error:
        return str(error)
    return ""


def main(config: str, methods: list[str]) -> dict[str, Any]:
    with syncd.open(config=config) as snapshot:
        dataset = SnapshotDataset(snapshot, table="labels", decode="bytes", transform=sample)
        told: dict[str, Any] = {"length": len(dataset), "is_dataset": isinstance(dataset, Dataset)}
        told["plain"] = {"0": epochs(dataset, 2)}
        told["shuffled"] = {"0": shuffled(dataset, 1), "again": shuffled(dataset, 1), "other": shuffled(dataset, 2)}
        for method in methods:
            options: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": method}
            told["plain"][method] = epochs(dataset, 2, **options)
            told["shuffled"][method] = shuffled(dataset, 1, **options)
            told["plain"][f"{method}, persistent"] = epochs(dataset, 2, persistent_workers=True, **options)
            told[f"damaged, {method}"] = damaged(snapshot, method)
        left, right = random_split(dataset, [0.5, 0.5], generator=torch.Generator().manual_seed(1))
        told["parts"] = sorted(label for part in (left, right) for batch in epochs(part, 1)[0] for label in batch)
        told["subset"] = epochs(Subset(dataset, [3, 1]), 1)[0]
        told["both"] = len(dataset + dataset)
    return told


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(main(sys.argv[1], sys.argv[2].split(","))))
