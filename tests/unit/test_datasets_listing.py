"""The compact list of a dataset's images finds each by path and number, and says what it was told."""

from __future__ import annotations

import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, none, sets, text, tuples

from syncd.datasets.listing import Listed, Listing

PATHS = text(min_size=1, max_size=12).filter(lambda path: path.isprintable())


def listing_of(*images: tuple[str, int, bytes | None]) -> Listing:
    listing = Listing()
    for image in sorted(images, key=lambda image: image[0].encode()):
        listing.add(*image)
    return listing


@given(sets(tuples(PATHS, integers(0, 2**63), none() | binary(min_size=32, max_size=32)), max_size=30), PATHS)
def test_each_image_is_found_by_path_and_number(images, other):
    by_path = {path: (path, size, sha256 if sha256 != bytes(32) else None) for path, size, sha256 in images}
    listing = pickle.loads(pickle.dumps(listing_of(*by_path.values())))  # noqa: S301
    assert len(listing) == len(by_path)
    assert [listing.path(number) for number in range(len(listing))] == sorted(by_path, key=str.encode)
    for path, image in by_path.items():
        assert listing[listing.find(path)] == Listed(*image)
    assert (listing.find(other) is None) == (other not in by_path)


def test_what_is_listed_out_of_order_is_refused():
    listing = listing_of(("b", 1, None))
    for path in ("a", "b"):
        with pytest.raises(ValueError, match="out of order"):
            listing.add(path, 1, None)


def test_it_takes_48_bytes_and_the_path_for_each_image():
    count = 10_000
    paths = [f"cats/{number:08}.jpg" for number in range(count)]
    listing = listing_of(*((path, 1, hashlib.sha256(path.encode()).digest()) for path in paths))
    assert len(pickle.dumps(listing)) / count < 48 + len(paths[0]) + 1
