"""From a row's value to the image it names."""

from __future__ import annotations

import pytest

from syncd.sources.tables.images import ImageColumn, path_fault

CDN = r"https://cdn\.example\.com/[^/]+/(?P<path>.+?)(\?.*)?"


@pytest.mark.parametrize(
    ("column", "value", "key"),
    [
        ({}, "cats/1.jpg", "images/cats/1.jpg"),
        ({}, "./cats/1.jpg", "images/cats/1.jpg"),
        ({}, None, None),
        ({}, "", None),
        ({}, 7, "images/7"),
        ({}, "ünï code/ä.png", "images/ünï code/ä.png"),
        ({}, "../secret.png", "images/../secret.png"),
        ({"prefix": "/srv/images/"}, "/srv/images/cats/1.jpg", "images/cats/1.jpg"),
        ({"prefix": "/srv/images/"}, "cats/1.jpg", "images/cats/1.jpg"),
        ({"prefix": "/srv/images/"}, "/srv/images/", None),
        ({"pattern": CDN}, "https://cdn.example.com/v7/cats/1.jpg?w=9", "images/cats/1.jpg"),
        ({"pattern": CDN}, "cats/1.jpg", "images/cats/1.jpg"),
        ({"pattern": "s3://(.*)", "prefix": "bucket/"}, "s3://bucket/cats/1.jpg", "images/cats/1.jpg"),
        ({"pattern": "(a)?b"}, "b", None),
    ],
)
def test_a_value_names_an_image(column, value, key):
    assert ImageColumn(name="image", **column).key_of(value) == key


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("cats/1.jpg", ""),
        ("..jpg/...", ""),
        ("../1.jpg", "leads out"),
        ("cats/../../1.jpg", "leads out"),
        ("/srv/1.jpg", "absolute"),
        ("https://x/1.jpg", "URL"),
        ("cats\\1.jpg", "backslashes"),
    ],
)
def test_what_a_path_alone_tells_is_said(path, said):
    assert said in path_fault(path)
    assert bool(path_fault(path)) == bool(said)
