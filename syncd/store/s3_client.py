"""The S3 client for all but small requests: aiobotocore with everything said explicitly."""

from __future__ import annotations

import os
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore import UNSIGNED

from syncd import __version__
from syncd.store.http_exchange import KEEPALIVE_S
from syncd.store.s3_signing import KnownDigestSigner
from syncd.store.sigv4 import ANY_REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_NO_ENVIRONMENT = {  # botocore's (config file's name, environment variable, default, conversion)
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": (None, None, None, None),
}


class _SystemTrust(AIOHTTPSession):
    """Trusts what the system trusts, as the SDK of the other protocol does, not the list that comes with botocore."""

    def _build_verify_context(self) -> ssl.SSLContext:
        return ssl.create_default_context()


@asynccontextmanager
async def open_client(
    *,
    endpoint: str,
    keys: tuple[str, str],
    connections: int,
    addressing_style: str,
    ca_file: str | None,
    timeouts_s: tuple[float, float],
) -> AsyncIterator[Any]:
    """Open one session, one client and one pool of connections.

    Nothing is tried twice but what aiohttp repeats when a kept connection turns out to be closed, and then only
    requests that may be repeated: PUT, GET, HEAD, DELETE of one object. No file or environment variable of the
    AWS tools is read, and no proxy is used.

    Args:
        endpoint: The server's URL.
        keys: Access key id and secret access key.
        connections: The most at a time.
        addressing_style: "path" or "virtual".
        ca_file: PEM file of the certificates to trust; None: the system's.
        timeouts_s: For a connection, and for the next bytes of an answer.
    """
    signer = KnownDigestSigner(*keys)
    config = AioConfig(
        user_agent=f"syncd/{__version__}",  # fixed: botocore's own is put together twice per request
        signature_version=UNSIGNED,
        retries={"total_max_attempts": 1},
        proxies={},
        connect_timeout=timeouts_s[0],
        read_timeout=timeouts_s[1],
        max_pool_connections=connections,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": addressing_style},
        connector_args={"keepalive_timeout": KEEPALIVE_S},
        http_session_cls=AIOHTTPSession if ca_file else _SystemTrust,
        warm_up_loader_caches=True,  # reads botocore's models in a thread, not on first use in the loop
    )
    session = AioSession(session_vars=_NO_ENVIRONMENT)
    trusted = ca_file or True  # at None botocore asks REQUESTS_CA_BUNDLE
    opening = session.create_client("s3", region_name=ANY_REGION, endpoint_url=endpoint, verify=trusted, config=config)
    async with opening as client:
        client.meta.events.register("request-created.s3", signer.sign)
        yield client
