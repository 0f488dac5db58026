"""Snapshots as PyTorch datasets.

>>> from syncd.integrations.torch import SnapshotDataset
>>> dataset = SnapshotDataset(syncd.open("photos"), table="labels", transform=to_tensors)
>>> loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=4)
"""

from __future__ import annotations

from typing import Any

from syncd import datasets
from syncd.snapshots.arrow import MissingExtraError

try:
    from torch.utils.data import Dataset
except ImportError as error:
    raise MissingExtraError(
        "datasets for PyTorch need torch, which cannot be imported",
        cause=f"it is not installed here, or is broken: {error}",
        next_step="pip install 'syncd[torch]'; without it there is syncd.datasets.SnapshotDataset",
    ) from error

__all__ = ["SnapshotDataset"]


class SnapshotDataset(datasets.SnapshotDataset, Dataset[Any]):
    """See :class:`syncd.datasets.SnapshotDataset`; as a ``torch.utils.data.Dataset``.

    ``DataLoader`` fetches a batch at once, from torch 2.0 on. Its workers may be forked or spawned.
    """
