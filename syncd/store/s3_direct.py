"""Small requests to S3, put together here: at a tenth of the CPU that the general client takes for each.

What a first sync of many small images costs is made of just that. All else is left to ``s3_general``.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from syncd import __version__
from syncd.store import s3_xml
from syncd.store.base import SHA256_METADATA
from syncd.store.http_connection import AnswerError, Request
from syncd.store.http_exchange import Exchange
from syncd.store.sigv4 import Signer, escaped
from syncd.store.translate import Answer, LostError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncd.model import Fingerprint
    from syncd.store.http_connection import Received

_MOST_SAID_BYTES = 4 << 20  # a thousand keys of a KiB each, with what failed
_NO_BODY = hashlib.sha256().hexdigest()


class DirectS3:
    """One bucket; use it as ``async with``.

    Args:
        endpoint: The server's URL.
        keys: Access key id and secret access key.
        bucket: The repository.
        addressing_style: "path", or "virtual" where the bucket is part of the host name.
        ca_file: PEM file of the certificates to trust; None: the system's.
    """

    def __init__(
        self, *, endpoint: str, keys: tuple[str, str], bucket: str, addressing_style: str, ca_file: str | None
    ) -> None:
        self._bucket = bucket
        parts = urlsplit(endpoint)
        self._host, self._base = parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/"
        if addressing_style == "virtual":
            self._host = f"{bucket}.{self._host}"
        else:
            self._base += f"{bucket}/"
        self._signer = Signer(*keys)
        self._exchange = Exchange(f"{parts.scheme}://{self._host}", ca_file=ca_file)

    async def __aenter__(self) -> Self:
        await self._exchange.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._exchange.__aexit__(*exc_info)

    async def put(self, path: str, content: bytes, fingerprint: Fingerprint, content_type: str) -> str:
        """Store an object and return the ETag of the answer, "" if it has none.

        Args:
            path: The whole key.
            content: Its bytes.
            fingerprint: Of them; the SHA-256 is signed, so the server refuses others.
            content_type: As it is sent.

        Raises:
            RefusedError: The server said no.
            LostError: There is no answer, or none in HTTP.
            OSError: The same.
        """
        sha256 = fingerprint.sha256.hex()
        headers = {"content-type": content_type, f"x-amz-meta-{SHA256_METADATA}": sha256}
        received = await self._ask("PUT", path, headers=headers, body=content, sha256=sha256)
        return received.headers.get("etag", "").strip('"')

    async def copy(self, source: str, path: str) -> str:
        """Copy an object with its metadata; return the ETag of the answer, "" if it has none. Raises as :meth:`put`.

        Args:
            source: The whole key to read.
            path: The whole key to write.
        """
        headers = {
            "x-amz-copy-source": escaped(f"/{self._bucket}/{source}"),
            "x-amz-metadata-directive": "COPY",
        }
        received = await self._ask("PUT", path, headers=headers)
        code, message = s3_xml.error(received.body)
        if code:  # an error may come late, after the 200
            raise RefusedError(Answer(status=HTTPStatus.INTERNAL_SERVER_ERROR, code=code, message=message))
        return s3_xml.copy_etag(received.body)

    async def delete(self, path: str) -> bool:
        """Delete one object; return whether the answer is one of S3. Raises as :meth:`put`."""
        return (await self._ask("DELETE", path)).status == HTTPStatus.NO_CONTENT

    async def delete_many(self, paths: Sequence[str]) -> tuple[set[str], dict[str, tuple[str, str]]] | None:
        """Delete up to 1,000 objects; see :func:`s3_xml.deletion_outcome`. Raises as :meth:`put`."""
        body = s3_xml.deletion(paths)
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        headers = {"content-type": "application/xml", "content-md5": md5}
        sha256 = hashlib.sha256(body).hexdigest()
        received = await self._ask("POST", "", query="delete=", headers=headers, body=body, sha256=sha256)
        return s3_xml.deletion_outcome(received.body)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        sha256: str = _NO_BODY,
    ) -> Received:
        address = escaped(self._base + path)
        signed = {"host": self._host, **(headers or {})}
        signature = self._signer.sign(method, address, signed, sha256, datetime.now(UTC), query=query)
        lines = [f"{name}: {value}\r\n" for name, value in (*signed.items(), *signature)]
        head = (
            f"{method} {address}{'?' if query else ''}{query} HTTP/1.1\r\n{''.join(lines)}"
            f"content-length: {len(body)}\r\nuser-agent: syncd/{__version__}\r\naccept-encoding: identity\r\n\r\n"
        )
        try:
            received = await self._exchange.ask(Request(head.encode("latin-1"), body, _MOST_SAID_BYTES))
        except AnswerError as error:
            raise LostError(str(error)) from error
        if received.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            code, message = s3_xml.error(received.body)
            raise RefusedError(
                Answer(
                    status=received.status,
                    code=code,
                    message=message,
                    headers=received.headers,
                    from_lakefs=bool(code),
                )
            )
        return received
