"""``syncd sync`` with a look at the clock in between; prints JSON. What it does is what the command does.

Moments are seconds since the epoch, so that they can be put beside those in the journal.
"""

from __future__ import annotations

import time

STARTED = time.time()

import asyncio  # noqa: E402 - the clock first: imports are part of what is measured
import json  # noqa: E402
import sys  # noqa: E402
from datetime import timedelta  # noqa: E402
from pathlib import Path  # noqa: E402

from syncd.cli.common import configured  # noqa: E402
from syncd.service.run import sync_once  # noqa: E402

IMPORTED = time.time()


def main() -> None:
    settings = configured(Path(sys.argv[1])).settings
    once = sync_once(settings, patience=timedelta(minutes=1), allow_held=False, progress=lambda _objects, _bytes: None)
    answer = asyncio.run(once)
    ended = time.time()
    print(json.dumps({"started": STARTED, "imported": IMPORTED, "ended": ended, "answer": answer}))


if __name__ == "__main__":
    main()
