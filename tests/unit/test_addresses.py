"""Addresses to listen at are read and written in one way."""

from __future__ import annotations

import pytest

from syncd.addresses import ListenAddress, listen_address


@pytest.mark.parametrize("text", ["127.0.0.1:8410", "[::1]:0", "localhost:80", "0.0.0.0:65535", "[2001:db8::1]:1"])
def test_what_is_read_is_written_alike(text: str) -> None:
    assert str(listen_address(text)) == text


@pytest.mark.parametrize(
    ("text", "alone"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True), ("0.0.0.0:1", False)],
)
def test_who_reaches_it(text: str, alone: bool) -> None:
    assert listen_address(text).is_loopback is alone


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "8410",
        ":8410",
        "127.0.0.1",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "::1:80",
        "[127.0.0.1]:80",
        "[::1:80",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        listen_address(text)


def test_both_families_are_written_properly() -> None:
    assert str(ListenAddress("::1", 80)) == "[::1]:80"
