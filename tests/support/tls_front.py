"""TLS in front of a plain server, with a certificate of the test's choice; loopback only."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.support.odd_servers import OddServer, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trustme import LeafCert


@dataclass(frozen=True)
class TLSFront:
    endpoint: str
    greetings: list[str | None]  # of each handshake begun, the host name asked for; an address is not sent
    decrypted: list[bytes]  # all that clients sent once they trusted the certificate


@asynccontextmanager
async def tls_front(upstream: str, certificate: LeafCert) -> AsyncIterator[TLSFront]:
    """Decrypt and pass everything on to a server, and its answers back."""
    target = urlsplit(upstream)
    greetings: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.sni_callback = lambda _socket, name, _context: greetings.append(name)
    certificate.configure_cert(context)

    async def handle(odd: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(target.hostname, target.port)
        try:
            await asyncio.gather(_pump(reader, their_writer, odd.requests), _pump(their_reader, writer, []))
        finally:
            their_writer.close()
            writer.transport.abort()  # who does not answer to the end of TLS would be waited for

    async with serve(handle, context) as odd:
        yield TLSFront(odd.endpoint, greetings, odd.requests)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[bytes]) -> None:
    while data := await reader.read(65536):
        seen.append(data)
        writer.write(data)
        await writer.drain()
    writer.close()
