from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config import rules

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MiB", 268_435_456),
        ("1GB", 1_000_000_000),
        ("1.5 KiB", 1536),
        ("12", 12),
        ("12B", 12),
        ("2k", 2000),
        ("5gib", 5 * 1024**3),
        (" 1TiB ", 1024**4),
        ("0.5kB", 500),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, size: int) -> None:
    assert rules.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1 XB", "-1", "1e9", "1,5MB", "0.3B", "1.0001kB", "٣MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bytes"):
        rules.parse_size(text)


@given(st.integers(min_value=0, max_value=10**15))
def test_a_size_survives_being_written_and_read(size: int) -> None:
    assert rules.parse_size(rules.format_size(size)) == size


@pytest.mark.parametrize(
    ("rule", "value", "settled"),
    [
        (rules.prefix, "", ""),
        (rules.prefix, "photos", "photos/"),
        (rules.prefix, "photos/", "photos/"),
        (rules.prefix, "a/b c/é", "a/b c/é/"),
        (rules.prefix, "_lakefs_actions_of_mine", "_lakefs_actions_of_mine/"),
        (rules.endpoint, "http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        (rules.endpoint, "https://lakefs.example.com/api/v1", "https://lakefs.example.com"),
        (rules.endpoint, "http://[::1]:8000/api/v1/", "http://[::1]:8000"),
        (rules.endpoint, "embedded", "embedded"),
        (rules.endpoint, "", "embedded"),
        (rules.http_address, "", ""),
        (rules.storage_namespace, "", ""),
        (rules.storage_namespace, "s3://bucket/photos", "s3://bucket/photos"),
        (rules.storage_namespace, "local://data", "local://data"),
        (rules.cron_expression, "", ""),
        (rules.cron_expression, " 0 3 * * * ", "0 3 * * *"),
        (rules.cron_expression, "*/10 * * * * *", "*/10 * * * * *"),
        (rules.cron_expression, "0 3 L * mon#1", "0 3 L * mon#1"),
        (rules.time_zone, "Europe/Berlin", "Europe/Berlin"),
        (rules.listen_address, "", ""),
        (rules.listen_address, "127.0.0.1:0", "127.0.0.1:0"),
        (rules.listen_address, "[::1]:8410", "[::1]:8410"),
        (rules.listen_address, "localhost:8410", "localhost:8410"),
        (rules.listen_address, "0.0.0.0:8410", "0.0.0.0:8410"),
        (rules.listen_address, "[::]:8410", "[::]:8410"),
        (rules.access_key_id, "abc", "abc"),
        (rules.access_key_id, "AKIAIOSFOLQUICKSTART", "AKIAIOSFOLQUICKSTART"),
        (rules.repository_name, "photos-2", "photos-2"),
        (rules.branch_name, "syncd_staging-1", "syncd_staging-1"),
        (rules.table_name, "Labels_2-b", "Labels_2-b"),
        (rules.table_name, "images_2", "images_2"),
        (rules.table_name, "_schema", "_schema"),
        (rules.pattern, "*.png", "*.png"),
        (rules.pattern, "!keep/", "!keep/"),
        (rules.pattern, r"\#1.png", r"\#1.png"),
    ],
)
def test_a_good_value_is_taken_in_its_settled_form(rule: Callable[[str], str], value: str, settled: str) -> None:
    assert rule(value) == settled


@pytest.mark.parametrize(
    ("rule", "value", "says"),
    [
        (rules.prefix, "/photos", 'begin with "/"'),
        (rules.prefix, "a//b", "empty parts"),
        (rules.prefix, "a/../b", '".."'),
        (rules.prefix, "./a", '"."'),
        (rules.prefix, "a\nb", "control characters"),
        (rules.prefix, "_lakefs_actions/x", "_lakefs_actions/"),
        (rules.prefix, "_lakefs", "_lakefs/"),
        (rules.prefix, "é" * 300, "512 bytes"),
        (rules.endpoint, "127.0.0.1:8000", "http://host:8000"),
        (rules.endpoint, "ftp://host", "http://host:8000"),
        (rules.endpoint, "http://", "http://host:8000"),
        (rules.endpoint, "http://host:99999", "http://host:8000"),
        (rules.endpoint, "http://ho st", "http://host:8000"),
        (rules.endpoint, "http://host/lakefs", "without a path"),
        (rules.endpoint, "http://host?x=1", "without a path"),
        (rules.endpoint, "http://user:word@host", "must not carry"),
        (rules.storage_namespace, "bucket/photos", "s3://bucket/path"),
        (rules.storage_namespace, "s3://", "s3://bucket/path"),
        (rules.cron_expression, "0 25 * * *", "Bad hour"),
        (rules.cron_expression, "daily", "Wrong number of fields"),
        (rules.cron_expression, "0 0 31 2 *", "day-of-month"),
        (rules.cron_expression, "0 0 */31 * 2#3", "never comes due"),
        (rules.time_zone, "Europe/Berlln", r"did you mean Europe/Berlin\?"),
        (rules.time_zone, "", "such as"),
        (rules.time_zone, "../../etc/passwd", "time zone"),
        (rules.time_zone, "Europe", "time zone"),
        (rules.listen_address, "8410", "HOST:PORT"),
        (rules.listen_address, "127.0.0.1:99999", "HOST:PORT"),
        (rules.listen_address, "::1:8410", "IP address"),
        (rules.listen_address, "[127.0.0.1]:8410", "IP address"),
        (rules.listen_address, "example.com:80", "IP address"),
        (rules.listen_address, ":8410", "IP address"),
        (rules.access_key_id, "ab", "3 to 20"),
        (rules.access_key_id, "x" * 21, "3 to 20"),
        (rules.access_key_id, "ab/cd", "3 to 20"),
        (rules.repository_name, "ab", "3 to 63"),
        (rules.repository_name, "-abc", "begin with a dash"),
        (rules.repository_name, "Photos", "lower-case"),
        (rules.repository_name, "photos\n", "lower-case"),
        (rules.branch_name, "a/b", "letters"),
        (rules.branch_name, "-a", "begin with a dash"),
        (rules.branch_name, "ä", "letters"),
        (rules.branch_name, "", "letters"),
        (rules.table_name, "a.b", "letters"),
        (rules.table_name, "../x", "letters"),
        (rules.table_name, "images", "is a name syncd uses itself; choose another"),
        (rules.table_name, "Images", "is a name syncd uses itself"),
        (rules.table_name, "_closure", "is a name syncd uses itself"),
        (rules.table_name, "_Closure", "is a name syncd uses itself"),
        (rules.column_name, " ", "empty"),
        (rules.pattern, "", "empty"),
        (rules.pattern, "!", "empty"),
        (rules.pattern, "# note", "comment"),
        (rules.pattern, "a\nb", "control characters"),
        (rules.tag_template, "latest", "name each snapshot once"),
    ],
)
def test_a_bad_value_is_refused_with_its_rule(rule: Callable[[str], str], value: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rule(value)


@given(st.lists(st.text(st.sampled_from("0123456789*/-,LW#MONJAFE"), max_size=5), min_size=5, max_size=6))
def test_any_cron_text_is_read_or_refused_in_words(fields: list[str]) -> None:
    text = " ".join(fields)
    try:
        assert rules.cron_expression(text) == text.strip()
    except ValueError as error:
        assert "cron expression" in str(error) or "never" in str(error)  # noqa: PT017 - either outcome is right
