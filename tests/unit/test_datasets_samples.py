"""Which row goes with which image, and how a row without one is named."""

from __future__ import annotations

import pyarrow as pa
import pytest

from syncd.datasets.listing import Listing
from syncd.datasets.samples import MissingImageError, RowsWithImages, require_image_column
from syncd.errors import UsageError
from syncd.snapshots.table_objects import TableInfo


def listing(*paths: str) -> Listing:
    made = Listing()
    for path in sorted(paths):
        made.add(path, 1, None)
    return made


def info(**more: str) -> TableInfo:
    return TableInfo("labels", **{"key": "id", "image_column": "image", "rows": None, "form": "parquet", **more})


def test_images_are_found_by_prefix_and_pattern_and_a_column_that_is_no_text():
    table = pa.table({"id": [1, 2, 3], "image": ["s3://x/b", "s3://x/a", "s3://x/b"]})
    rows = RowsWithImages(listing("a", "b"), info(image_prefix="s3://x/"), table, "error")
    assert list(rows.images) == [1, 0, 1]
    assert rows.row(1) == {"id": 2, "image": "s3://x/a"}
    rows = RowsWithImages(listing("7", "8"), info(), pa.table({"id": [1, 2], "image": [8, 7]}), "error")
    assert list(rows.images) == [1, 0]
    rows = RowsWithImages(
        listing("a.png"), info(image_pattern=r".*/(.*\.png)\?.*"), pa.table({"image": ["http://x/a.png?v=1"]}), "error"
    )
    assert list(rows.images) == [0]


def test_the_rows_that_remain_keep_their_order_over_all_chunks():
    table = pa.chunked_array([["c", None, "a"], [], ["gone", "b", ""], ["a"]])
    rows = RowsWithImages(listing("a", "b", "c"), info(), pa.table({"image": table}), "skip")
    assert [rows.row(position)["image"] for position in range(len(rows))] == ["c", "a", "b", "a"]
    assert list(rows.images) == [2, 0, 1, 0]
    assert list(rows.skipped) == [1, 3, 5]


def test_what_is_missing_is_named_by_its_key_if_there_is_one():
    table = pa.table({"id": ["x"], "image": ["gone"]})
    for key, name in (("id", r"row 0 of the table 'labels' \(id='x'\)"), (None, r"row 0 of the table 'labels'")):
        with pytest.raises(MissingImageError, match=f"^1 of 1 rows name images .*: 'gone' of {name}\\.") as missing:
            RowsWithImages(listing("a"), info(key=key), table, "error")
        assert 'missing="skip"' in str(missing.value)


def test_a_table_without_its_image_column_is_refused():
    with pytest.raises(UsageError, match=r"no column 'image'.*columns are: id, picture"):
        require_image_column(info(), pa.table({"id": [1], "picture": ["a"]}))
    with pytest.raises(UsageError, match="name no images"):
        require_image_column(info(image_column=None), pa.table({"id": [1], "image": ["a"]}))
