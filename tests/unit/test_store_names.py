"""Keys, names and content types: what is refused before anything is sent, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.keys import describe_key_fault, key_fault
from syncd.model import MAX_KEY_BYTES, ProblemCode
from syncd.names import branch_fault, namespace_fault, repository_fault, tag_faults
from syncd.store.content_type import DEFAULT_CONTENT_TYPE, content_type


@pytest.mark.parametrize(
    "key",
    [
        "images/1.jpg",
        "images/with space.jpg",
        "images/ends with dot.",
        "images/a/../b.jpg",
        "images//doubled.jpg",
        "/leading",
        "trailing/",
        "images/漢字-😀-e\u0301.jpg",
        "images/no-break\u00a0space\u2028line.jpg",
        "images/\ufffe.jpg",
        "images/_lakefs_actions",
        "images/my_lakefs/1.jpg",
        "images/_lakefs_actions.jpg",
        "images/.lakefs_ref.yaml.jpg",
        "L" * MAX_KEY_BYTES,
        "é" * (MAX_KEY_BYTES // 2),
    ],
)
def test_a_key_that_lakefs_takes_is_sent(key: str) -> None:
    assert key_fault(key) is None


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", ProblemCode.REFUSED),
        ("images/two\nlines.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        ("images/\r.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        ("images/\t.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        ("images/\0.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        ("images/\x7f.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        ("images/\x85.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        ("images/\udcff.jpg", ProblemCode.NAME_NOT_UTF8),
        ("L" * (MAX_KEY_BYTES + 1), ProblemCode.NAME_TOO_LONG),
        ("é" * (MAX_KEY_BYTES // 2) + "L", ProblemCode.NAME_TOO_LONG),
        ("_lakefs_actions/hook.yaml", ProblemCode.NAME_RESERVED),
        ("images/_lakefs_actions/hook.yaml", ProblemCode.NAME_RESERVED),
        ("_lakefs/x", ProblemCode.NAME_RESERVED),
        ("images/.lakefs_ref.yaml", ProblemCode.NAME_RESERVED),
    ],
)
def test_a_key_that_does_harm_is_refused_with_a_code_and_words(key: str, code: ProblemCode) -> None:
    assert key_fault(key) is code
    assert describe_key_fault(code)


@given(st.binary(min_size=1, max_size=1100))
def test_no_file_name_whatever_its_bytes_is_sent_unsound(name: bytes) -> None:
    """What passes is UTF-8, short enough and without control characters; what does not has a code."""
    key = name.decode(errors="surrogateescape")
    if key_fault(key) is None:
        assert key.encode() == name
        assert len(name) <= MAX_KEY_BYTES
        assert not any(byte < 32 or byte == 127 for byte in name)


@pytest.mark.parametrize("name", ["abc", "photos-2026", "1ab", "a" * 63])
def test_repository_names_that_lakefs_takes(name: str) -> None:
    assert repository_fault(name) is None


@pytest.mark.parametrize("name", ["", "ab", "Abc", "-abc", "a_b", "a.b", "a" * 64, "abc\n"])
def test_repository_names_that_lakefs_refuses(name: str) -> None:
    assert repository_fault(name)


@pytest.mark.parametrize("name", ["main", "syncd-staging", "_x", "1", "A1", "a-"])
def test_branch_names_that_lakefs_takes(name: str) -> None:
    assert branch_fault(name) is None


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "-x", "a b", "é", "main\n"])
def test_branch_names_that_lakefs_refuses(name: str) -> None:
    assert branch_fault(name)


@pytest.mark.parametrize("tag", ["v1", "snap-20261122T235744Z-1", "größe", "a.b", "-a", "lock"])
def test_tags_that_can_be_made_and_read(tag: str) -> None:
    assert tag_faults(tag) == []


@pytest.mark.parametrize("tag", ["", " ", "a:b", "a/b", "a..b", "x.", "x.lock", "a@{b", "@", "a~1", "$x", "a\x7f"])
def test_tags_that_cannot(tag: str) -> None:
    assert tag_faults(tag)


@pytest.mark.parametrize("namespace", ["s3://bucket/photos", "local://photos", "gs://b", "https://a.blob/x"])
def test_storage_namespaces_that_may_work(namespace: str) -> None:
    assert namespace_fault(namespace) is None


@pytest.mark.parametrize("namespace", ["", "bucket/photos", "s3://", "ftp://x/y", "/srv/data"])
def test_storage_namespaces_that_cannot_work(namespace: str) -> None:
    assert namespace_fault(namespace)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("images/1.jpg", "image/jpeg"),
        ("images/1.JPEG", "image/jpeg"),
        ("images/a.b/1.png", "image/png"),
        ("tables/labels.csv", "text/csv"),
        ("images/noextension", DEFAULT_CONTENT_TYPE),
        ("images/a.png/noextension", DEFAULT_CONTENT_TYPE),
        ("images/.png", DEFAULT_CONTENT_TYPE),
        ("images/1.png.", DEFAULT_CONTENT_TYPE),
        ("images/1.unheard-of", DEFAULT_CONTENT_TYPE),
    ],
)
def test_the_content_type_follows_the_extension_alone(key: str, expected: str) -> None:
    assert content_type(key) == expected
