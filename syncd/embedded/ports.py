"""On which loopback address and port the server listens, and whether the one who answers there is ours."""

from __future__ import annotations

import base64
import errno
import http.client
import secrets
import socket

from syncd.addresses import ListenAddress, listen_address
from syncd.errors import EmbeddedServerError

# Below the range from which Linux takes ports for outgoing connections: a port chosen here is still free
# when the server has to come back to it.
_FIRST, _LAST = 20_000, 31_999
_TRIES = 50
_ANSWER_TIMEOUT_S = 5.0
_OK = 200


def parse_listen(listen: str) -> ListenAddress:
    """Return host and port of "127.0.0.1:8000", "localhost:0" or "[::1]:0"; port 0 means any free one.

    Raises:
        EmbeddedServerError: It is no such address, or one that other machines reach.
    """
    try:
        found = listen_address(listen)
    except ValueError as error:
        raise EmbeddedServerError(
            f"{listen!r} is no address to listen on: it {error}",
            next_step='write it as "127.0.0.1:8000"; port 0 takes any free one',
        ) from error
    if not found.is_loopback:
        raise EmbeddedServerError(
            f"The embedded lakeFS does not listen on {listen}: other machines could reach it there",
            cause="It is for one machine: plain HTTP, and one key that may do everything",
            next_step='listen on "127.0.0.1:0", or run a lakeFS of your own and set [lakefs] endpoint',
        )
    return found._replace(host="127.0.0.1") if found.host == "localhost" else found


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there now; another may still be quicker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Go does: old connections do not block
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise EmbeddedServerError(
                f"The embedded lakeFS cannot listen on {host} port {port}: {error.strerror}",
                next_step='listen on "127.0.0.1:0"',
            ) from error
    return True


def choose(host: str, *, preferred: int | None) -> int:
    """Return a free port, the preferred one if that is free.

    Raises:
        EmbeddedServerError: None was found.
    """
    if preferred is not None and is_free(host, preferred):
        return preferred
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
        if is_free(host, port):
            return port
    raise EmbeddedServerError(
        f"No free port between {_FIRST} and {_LAST} on {host}", next_step='name one, such as "127.0.0.1:8000"'
    )


def answers_as_ours(host: str, port: int, *, access_key_id: str, secret_access_key: str) -> bool:
    """Tell whether a healthy lakeFS answers there that knows these keys.

    Health alone would not do: in a race for the port it may be somebody else's server that feels well.
    """
    pair = base64.b64encode(f"{access_key_id}:{secret_access_key}".encode()).decode()
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_TIMEOUT_S)
    try:
        for path, headers in (("/_health", {}), ("/api/v1/user", {"Authorization": f"Basic {pair}"})):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            if response.status != _OK:
                return False
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
