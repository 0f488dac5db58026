"""Airflow as a process that runs DAGs, one after the other, and tells what became of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parents[1] / "integrations"
FOREIGN = ("SYNCD_", "LAKECTL_", "AWS_", "AIRFLOW_")  # the person's own
START_S, RUN_S = 120.0, 90.0


class Airflow:
    """A process that runs DAGs, with a home and an SQLite database of its own."""

    def __init__(self, python: Path, home: Path) -> None:
        self.dags, self._home = home / "dags", home
        self.dags.mkdir(parents=True)
        shutil.copy(HERE / "airflow_dags.py", self.dags)
        self._log, self._count, self._seen = home / "log", 0, 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-u", HERE / "airflow_host.py"],
                env={**kept, "HOME": str(home), "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=home,
                text=True,
            )

    def begin(
        self, dag_id: str, *, file: str = "airflow_dags.py", environment: dict[str, str] | None = None, **conf: Any
    ) -> Callable[[], dict[str, Any]]:
        """Begin a run; returns what waits for its outcome, or for the error with which the file is refused."""
        self._count += 1
        self._seen = self._log.stat().st_size
        reply = self._home / f"reply-{self._count}"
        wanted = {"file": str(self.dags / file), "dag_id": dag_id, "conf": conf, "environment": environment or {}}
        print(json.dumps({**wanted, "reply": str(reply)}), file=self._process.stdin, flush=True)

        def outcome() -> dict[str, Any]:
            self._until(reply.exists, f"{dag_id} has run", START_S if self._count == 1 else RUN_S)
            return dict(json.loads(reply.read_text()))

        return outcome

    def run(self, dag_id: str, **options: Any) -> dict[str, Any]:
        """Run a DAG to its end."""
        return self.begin(dag_id, **options)()

    def wait_for(self, text: str) -> None:
        """Wait until it has said something since the run began."""
        self._until(lambda: text in self.said(), f"Airflow says {text!r}", START_S)

    def said(self) -> str:
        """What it has said since the last run began."""
        return self._log.read_bytes()[self._seen :].decode(errors="replace")

    def _until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        def holds() -> bool:
            assert self._process.poll() is None, f"Airflow has ended: {self.said()}"
            return condition()

        try:
            until(holds, what, timeout_s=timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()[-6000:]}") from None

    def end(self) -> None:
        """Let it end after what it is doing."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
