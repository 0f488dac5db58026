from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.names import tag_faults
from syncd.planner.tag_name import is_tag_for, render_tag, template_faults

MOMENT = datetime(2026, 11, 22, 23, 57, 44, tzinfo=UTC)


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ("snap-{time:%Y%m%dT%H%M%SZ}-{seq}", "snap-20261122T235744Z-7"),
        ("{time}", "20261122T235744Z"),
        ("v{seq:05d}", "v00007"),
        ("{{x}}-{seq}", "{x}-7"),
        ("plain", "plain"),
    ],
)
def test_a_template_is_filled_in(template: str, tag: str) -> None:
    assert render_tag(template, time=MOMENT, seq=7) == tag


def test_the_time_is_written_in_utc_whatever_zone_it_comes_in() -> None:
    eastern = MOMENT.astimezone(timezone(timedelta(hours=-5)))
    assert render_tag("{time}", time=eastern, seq=1) == "20261122T235744Z"


@pytest.mark.parametrize(
    "template",
    ["{", "}", "{name}", "{}", "{0}", "{time!r}", "{time.year}", "{seq.__class__}", "{seq:x y}", "{seq:{time}}"],
)
def test_a_template_that_cannot_be_filled_in_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        render_tag(template, time=MOMENT, seq=7)
    assert template_faults(template)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        render_tag("{time}", time=MOMENT.replace(tzinfo=None), seq=1)


@pytest.mark.parametrize(
    "tag", ["v1", "20261122T235744Z", "snap-20261122T235744Z-1", "a.b", "lock", "x.lock.y", "é", "-v", "#1", "0" * 63]
)
def test_a_tag_lakefs_takes_has_no_fault(tag: str) -> None:
    assert tag_faults(tag) == []


@pytest.mark.parametrize(
    ("tag", "fault"),
    [
        ("", "is empty"),
        ("@", 'must not be "@"'),
        ("v1.", 'must not end with "."'),
        ("v1.lock", 'must not end with ".lock"'),
        ("a..b", 'must not contain ".."'),
        ("a/b", 'must not contain "/"'),
        ("a@{b", 'must not contain "@{"'),
        ("a^b", 'must not contain "^"'),
        ("2026-11-22T23:57:44Z", 'must not contain ":"'),
        ("a?b", 'must not contain "?"'),
        ("a*b", 'must not contain "*"'),
        ("a[b", 'must not contain "["'),
        ("a\\b", 'must not contain "\\"'),
        ("a b", "must not contain spaces, line breaks or control characters"),
        ("a\nb", "must not contain spaces, line breaks or control characters"),
        ("a\x7fb", "must not contain spaces, line breaks or control characters"),
        ("a@b", 'must not contain "@": lakeFS could not look the tag up'),
        ("a~b", 'must not contain "~": lakeFS could not look the tag up'),
        ("a$b", 'must not contain "$": lakeFS could not look the tag up'),
        ("aF" * 32, "must not look like a commit id"),
        ("x" * 256, "must not be longer than 255 characters"),
    ],
)
def test_a_tag_lakefs_refuses_or_cannot_find_is_named_with_the_rule(tag: str, fault: str) -> None:
    assert tag_faults(tag) == [fault]


def test_every_fault_of_a_tag_is_listed() -> None:
    assert len(tag_faults("a b/c..lock")) == 4


@pytest.mark.parametrize(
    "template", ["{seq}", "v{seq:03d}", "{time}", "{time:%Y-%m-%d-%H%M%S}", "{time:%j-%Y-%H-%M-%S}", "{seq:x}"]
)
def test_a_template_that_names_each_snapshot_once_is_taken(template: str) -> None:
    assert template_faults(template) == []


@pytest.mark.parametrize(
    "template", ["latest", "{time:%Y%m%d}", "{time:%H%M%S}", "{time:%Y%m%dT%H%M}", "{time:%m%dT%H%M%S}", "{seq:e}"]
)
def test_a_template_that_could_name_two_snapshots_alike_is_refused(template: str) -> None:
    assert any("name each snapshot once" in fault for fault in template_faults(template))


def test_the_tag_a_template_would_give_is_held_against_the_rules() -> None:
    assert template_faults("a b-{seq}") == [
        "must not contain spaces, line breaks or control characters (it gives 'a b-1')"
    ]


@pytest.mark.parametrize(
    ("tag", "own"),
    [
        *[("snap-7", True), ("snap-7-2", True), ("snap-7-99", True), ("snap-7-2-3", True)],
        *[("snap-70", False), ("snap", False), ("v1.0", False), ("snap-7-", False), ("snap-7-draft", False)],
        *[("snap-7-1", False), ("snap-7-02", False), ("snap-7-2026", False), ("xsnap-7", False), ("", False)],
    ],
)
def test_a_snapshots_own_tag_is_the_one_meant_perhaps_with_a_number(tag: str, own: bool) -> None:
    assert is_tag_for(tag, "snap-7") is own
    assert not is_tag_for(tag, None)
    assert not is_tag_for(tag, "")


@given(st.text(max_size=12))
def test_any_text_is_either_rendered_or_refused_in_words(template: str) -> None:
    faults = template_faults(template)
    assert all(faults)
    if not faults:
        assert tag_faults(render_tag(template, time=MOMENT, seq=1)) == []
