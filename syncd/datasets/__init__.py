"""Snapshots as datasets for training, without PyTorch; with it, see ``syncd.integrations.torch``.

>>> import syncd
>>> from syncd.datasets import SnapshotDataset
>>> dataset = SnapshotDataset(syncd.open("photos"), table="labels")
>>> image, row = dataset[0]
"""

from __future__ import annotations

from syncd.datasets.dataset import SampleError, SnapshotDataset
from syncd.datasets.samples import MissingImageError

__all__ = ["MissingImageError", "SampleError", "SnapshotDataset"]
