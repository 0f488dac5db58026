"""A repository that a syncd publishes to, as Prefect keeps it: saved under a name, its secret encrypted."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - Prefect looks at annotations while it runs
from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, field_validator

from syncd.client import aio, sync
from syncd.integrations.prefect.reason import reason_of_run
from syncd.snapshots.reference import LATEST

_SECRET = "secret_access_key"  # noqa: S105 - the name of a key


class SyncdRepository(Block):
    """Where snapshots are, and where the daemon is that takes them.

    Say ``config``, or ``endpoint``, ``repository`` and keys; what is said here comes before the file. With nothing said
    it is found where every command of syncd looks, on the machine where the flow runs.

    Do not return a snapshot from a task: Prefect may pickle results, and a pickled snapshot holds the keys. Its tag is
    what to pass on.
    """

    _block_type_name: ClassVar[str | None] = "syncd repository"
    _block_type_slug: ClassVar[str | None] = "syncd-repository"
    _description: ClassVar[str | None] = "Snapshots of images and tables in lakeFS, and the syncd that takes them."

    config: str | None = Field(
        default=None, description="The daemon's configuration file, on the machine where the flow runs."
    )
    repository: str | None = Field(default=None, description="Of lakeFS.")
    endpoint: str | None = Field(default=None, description="Of the lakeFS server, as https://lakefs.example.com.")
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    lakefs: dict[str, Any] = Field(
        default_factory=dict, description='Further keys of the section [lakefs], such as {"publish_branch": "main"}.'
    )

    @field_validator("lakefs")
    @classmethod
    def _without_secret(cls, value: dict[str, Any]) -> dict[str, Any]:
        if _SECRET in value:
            raise ValueError(f"{_SECRET} has a field of its own, which Prefect keeps secret")
        return value

    def connect(self) -> sync.Connection:
        """Connect; use it as ``with``. See :func:`syncd.connect`, also for errors."""
        return sync.connect(self.config, **self._said())

    def aconnect(self) -> aio.Connection:
        """Connect from asynchronous code; enter it with ``async with``. Raises as :func:`syncd.connect`."""
        return aio.connect(self.config, **self._said())

    def snapshot(self, reason: str | None = None, *, timeout: float = 60.0, allow_held: bool = False) -> sync.Snapshot:
        """Return a snapshot of all that is in place now; where the daemon runs, or the folder is.

        Args:
            reason: Goes into the commit; None: it names the flow and its run.
            timeout: Seconds that files still changing are waited for, and a lakeFS that does not answer.
            allow_held: Make it without deletions that wait for a person, rather than fail.

        Raises:
            HeldError: Something waits for a person.
            SyncdError: No snapshot could be made; it says why, and what to do.
        """
        why = reason_of_run() if reason is None else reason
        with self.connect() as connection:
            return connection.snapshot(why, timeout=timeout, allow_held=allow_held)

    async def asnapshot(
        self,
        reason: str | None = None,
        *,
        timeout: float = 60.0,  # noqa: ASYNC109 - the daemon's patience
        allow_held: bool = False,
    ) -> aio.Snapshot:
        """See :meth:`snapshot`; close it, or use it with ``async with``."""
        why = reason_of_run() if reason is None else reason
        connection = self.aconnect()
        async with connection:
            snapshot = await connection.snapshot(why, timeout=timeout, allow_held=allow_held)
            snapshot.owns(connection)
        return snapshot

    def open(self, ref: str = LATEST, *, at: str | datetime | None = None) -> sync.Snapshot:
        """Return a snapshot that there is; arguments and errors as of :func:`syncd.open`."""
        with self.connect() as connection:
            return connection.open(ref, at=at)

    async def aopen(self, ref: str = LATEST, *, at: str | datetime | None = None) -> aio.Snapshot:
        """See :meth:`open`; close it, or use it with ``async with``."""
        connection = self.aconnect()
        async with connection:
            snapshot = await connection.open(ref, at=at)
            snapshot.owns(connection)
        return snapshot

    def _said(self) -> dict[str, Any]:
        """Return the keys of ``[lakefs]`` that the block says; the secret in clear."""
        secret = self.secret_access_key
        return {
            **self.lakefs,
            "repository": self.repository,
            "endpoint": self.endpoint,
            "access_key_id": self.access_key_id,
            _SECRET: None if secret is None else secret.get_secret_value(),
        }
