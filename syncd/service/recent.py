"""The newest lines of the log, kept for whoever wants to look on: ``syncd tail``, ``syncd top``."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict, WrappedLogger

KEPT = 1000
MOST = 100  # in one answer, which has to fit a line of the control socket
LONGEST_VALUE = 1000  # characters of JSON
LONGEST_ESCAPE = 12  # of one character: two times \uXXXX
LOOK_EVERY_S = 0.1
LONGEST_WAIT_S = 30.0


def _short(value: object) -> object:
    """Return a value as JSON has it, and not a long one."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(json.dumps(text)) <= LONGEST_VALUE:
        return text
    return text[: LONGEST_VALUE // LONGEST_ESCAPE] + "…"


class Recent:
    """A processor of structlog, behind the one that takes secrets out."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, dict[str, Any]]] = deque(maxlen=KEPT)
        self._numbers, self._lock = itertools.count(1), threading.Lock()

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Keep a line, and pass it on; in any thread."""
        with self._lock:
            self._lines.append((next(self._numbers), {key: _short(value) for key, value in event.items()}))
        return event

    def after(self, number: int, *, most: int = MOST) -> dict[str, Any]:
        """Return the newest lines after one.

        Args:
            number: The last one known; 0: none.
            most: How many.

        Returns:
            ``{"last": number of the newest, "missed": how many are kept no more, "events": lines}``.
        """
        with self._lock:
            kept = [line for line in self._lines if line[0] > number]
        last = kept[-1][0] if kept else number
        events = [event for _, event in kept[-most:]]
        return {"last": last, "missed": last - number - len(events), "events": events}

    async def request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer ``after``, ``most`` and ``wait_s`` of a request: at once, or when there is something new."""
        number, most = int(request.get("after", 0)), min(int(request.get("most", MOST)), MOST)
        wait_s = min(float(request.get("wait_s", 0.0)), LONGEST_WAIT_S)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while not (found := self.after(number, most=most))["events"] and loop.time() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)  # lines come from any thread, and waking the loop for each costs more
        return found
