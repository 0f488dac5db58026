"""What a snapshot says of its tables' columns, and what is read from it again."""

from __future__ import annotations

import pytest

from syncd.commit_text import roles_of
from syncd.sources.tables.base import Column, Kind
from syncd.sources.tables.images import ImageColumn
from syncd.sources.tables.roles import Roles, roles_in_commit, roles_in_schema
from syncd.sources.tables.schema import schema_json

COLUMNS = (Column(name="id", kind=Kind.INTEGER, declared="bigint"),)
PATTERN = ImageColumn(name="url", prefix="/srv/", pattern=r"https://[^/]+/(?P<path>.+)")


@pytest.mark.parametrize(
    "roles",
    [Roles(key=None), Roles(key="id"), Roles(key="ä", image=ImageColumn(name="image")), Roles(key="id", image=PATTERN)],
)
def test_what_a_commit_says_is_read_back(roles: Roles) -> None:
    said = roles.metadata("labels")
    assert roles_in_commit({**said, "syncd.key.labels2": "other"}, "labels") == roles
    assert all(said.values())


def test_what_is_not_set_is_not_said() -> None:
    assert Roles(key="id").metadata("labels") == {"syncd.key.labels": "id"}


@pytest.mark.parametrize("image", [None, PATTERN])
def test_a_schema_says_the_same(image: ImageColumn | None) -> None:
    assert roles_in_schema(schema_json("labels", COLUMNS, "id", 3, image)) == Roles(key="id", image=image)


def test_what_is_published_goes_before_what_is_configured_and_that_before_what_was() -> None:
    told = roles_of(
        ["held", "csv", "forgotten", "unknown"],
        schemas={"held": schema_json("held", COLUMNS, "id", 3).decode(), "csv": ""},
        configured={"held": Roles(key="uuid"), "csv": Roles(key="name"), "not-there": Roles(key="id")},
        before={**Roles(key="file").metadata("forgotten"), **Roles(key="id").metadata("csv")},
    )
    assert {name: roles.key for name, roles in told.items()} == {
        "held": "id",
        "csv": "name",
        "forgotten": "file",
        "unknown": None,
    }
