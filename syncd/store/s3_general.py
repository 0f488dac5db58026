"""Uploads and downloads that are streamed, and look-ups: by aiobotocore, opened on first use.

Knows of errors only what was answered, or that nothing was.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from syncd.store.translate import Answer, LostError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator


class GeneralClient:
    """An S3 client that is opened when it is first needed; use it as ``async with``.

    Args:
        how: What ``s3_client.open_client`` is to be called with.
    """

    def __init__(self, **how: Any) -> None:
        self._how, self._stack = how, AsyncExitStack()
        self._one_opens = asyncio.Lock()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def opened(self) -> Any:
        """Return the client, opened by now."""
        from syncd.store.s3_client import open_client  # noqa: PLC0415 - half a second that few need

        async with self._one_opens:
            if self._client is None:
                self._client = await self._stack.enter_async_context(open_client(**self._how))
        return self._client


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what aiobotocore raises into what was answered.

    Raises:
        RefusedError: The server said no.
        LostError: There is no answer.
    """
    import aiohttp  # noqa: PLC0415 - loaded by now, and only by those who need it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        raise RefusedError(_answer(error.response, error.operation_name)) from error
    except (BotoCoreError, aiohttp.ClientError) as error:
        raise LostError(str(error)) from error


def _answer(response: Any, operation: str) -> Answer:
    said, metadata = response.get("Error", {}), response["ResponseMetadata"]
    status, code = metadata["HTTPStatusCode"], said.get("Code", "")
    bodiless = code in {"", str(status)}  # no error in XML: an answer to HEAD, or one that is not from lakeFS
    return Answer(
        status=status,
        code="" if bodiless else code,
        message=said.get("Message", ""),
        headers=metadata.get("HTTPHeaders", {}),
        from_lakefs=not bodiless or operation == "HeadObject",
    )
