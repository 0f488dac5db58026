"""Where the embedded server may listen."""

from __future__ import annotations

import socket

import pytest

from syncd.embedded import ports
from syncd.errors import EmbeddedServerError


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("127.9.9.9:65535", ("127.9.9.9", 65535)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:8000", ("::1", 8000)),
    ],
)
def test_a_loopback_address_is_accepted(listen: str, expected: tuple[str, int]) -> None:
    assert ports.parse_listen(listen) == expected


@pytest.mark.parametrize("listen", ["0.0.0.0:8000", "[::]:8000", "192.168.1.5:0", "8.8.8.8:80"])
def test_an_address_that_others_reach_is_refused(listen: str) -> None:
    with pytest.raises(EmbeddedServerError, match="other machines could reach it"):
        ports.parse_listen(listen)


@pytest.mark.parametrize(
    "listen", ["", "8000", ":8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "example.org:80"]
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(EmbeddedServerError, match="is no address to listen on"):
        ports.parse_listen(listen)


def test_an_address_that_this_machine_lacks_is_an_error() -> None:
    with pytest.raises(EmbeddedServerError, match=r"cannot listen on 192\.0\.2\.1"):
        ports.is_free("192.0.2.1", 0)


def test_the_preferred_port_is_chosen_if_it_is_free() -> None:
    free = ports.choose("127.0.0.1", preferred=None)
    assert ports.choose("127.0.0.1", preferred=free) == free


def test_a_taken_port_is_not_chosen() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        taken = somebody.getsockname()[1]

        assert not ports.is_free("127.0.0.1", taken)
        assert ports.choose("127.0.0.1", preferred=taken) != taken


def test_nobody_answers_on_a_free_port() -> None:
    port = ports.choose("127.0.0.1", preferred=None)
    assert not ports.answers_as_ours("127.0.0.1", port, access_key_id="a", secret_access_key="b")
