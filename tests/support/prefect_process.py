"""Prefect as a process that runs flows, one after the other, and tells what became of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.daemon import until

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parents[1] / "integrations"
FOREIGN = ("SYNCD_", "LAKECTL_", "AWS_", "PREFECT_")  # the person's own
RUN_S = 100.0


class Prefect:
    """A process with a home, a server and an SQLite database of its own."""

    def __init__(self, python: Path, home: Path) -> None:
        self._python, self.home = python, home
        self._log, self._count, self._seen = home / "log", 0, 0
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-u", HERE / "prefect_flows.py"],
                env=_environment(home / "prefect"),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=home,
                text=True,
            )

    def ask(self, what: str, *, environment: Mapping[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
        """Run a flow, or another function of ``prefect_flows``, and return what became of it."""
        self._count += 1
        self._seen = self._log.stat().st_size
        reply = self.home / f"reply-{self._count}"
        wanted = {"what": what, "arguments": arguments, "environment": environment or {}, "reply": str(reply)}
        print(json.dumps(wanted), file=self._process.stdin, flush=True)

        def is_done() -> bool:
            assert self._process.poll() is None, f"it has ended: {self.said()}"
            return reply.exists()

        until(is_done, lambda: f"{what} has run: {self.said()}", timeout_s=RUN_S)
        return dict(json.loads(reply.read_text()))

    def said(self) -> str:
        """What it has said since it was last asked something."""
        return self._log.read_bytes()[self._seen :].decode(errors="replace")

    def retries(self) -> Counter[str]:
        """How often it tried which task again since then."""
        return Counter(re.findall(r"Task run '([\w-]+)-\w+' - .*Retry \d+/\d+ will start", self.said()))

    def mentions(self, text: str) -> list[Path]:
        """Return the files of its home that hold a text: the database, results, the log."""
        files = [self._log, *(path for path in (self.home / "prefect").rglob("*") if path.is_file())]
        return [path for path in files if text.encode() in path.read_bytes()]

    def end(self) -> None:
        """End it, and its server with it."""
        self._process.communicate(timeout=RUN_S)


def _environment(home: Path) -> dict[str, str]:
    """Return its environment: it says all that it does, and nothing to anyone elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {
        **kept,
        "HOME": str(home.parent),
        "PREFECT_HOME": str(home),
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "syncd",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 are too few beside other tests on two cores
        "DO_NOT_TRACK": "1",
    }
