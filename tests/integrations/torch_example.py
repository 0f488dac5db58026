import torch
from torch.utils.data import DataLoader

import syncd
from syncd.integrations.torch import SnapshotDataset


def sample(image, row):
    pixels = torch.frombuffer(bytearray(image.convert("L").tobytes()), dtype=torch.uint8)
    return pixels.reshape(image.height, image.width) / 255, int(row["label"])


if __name__ == "__main__":
    snapshot = syncd.open("photos", "snap-20261123T093833Z-1")
    dataset = SnapshotDataset(snapshot, table="labels", transform=sample, cache=True)
    loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=4)
    for epoch in range(2):  # the second one fetches nothing
        for images, labels in loader:
            print(epoch, tuple(images.shape), int(labels.sum()))
