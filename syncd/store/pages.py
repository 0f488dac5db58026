"""Listings taken some entries at a time: one transaction of the journal for each of them would be slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

T = TypeVar("T")


async def pages(items: AsyncIterable[T], size: int) -> AsyncIterator[list[T]]:
    """Yield the items in lists of ``size``; the last one may be shorter, and none is empty."""
    page: list[T] = []
    async for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
