"""Where a task finds its repository: a configuration file, an Airflow connection, keys of ``[lakefs]``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from syncd.errors import UsageError

if TYPE_CHECKING:
    from airflow.sdk import Connection as AirflowConnection

    from syncd.client import aio, sync

SECRET = "secret_access_key"  # noqa: S105 - the name of a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a DAG says of a repository. It holds no secret: Airflow writes the arguments of tasks into its database.

    Args:
        config: The daemon's configuration file on the machine that runs the task; None: where every command looks.
        lakefs_conn_id: An Airflow connection; see :func:`keys_of`. Its keys come before the file's.
        lakefs: Keys of the section ``[lakefs]``, which come before all others.

    Raises:
        UsageError: ``lakefs`` holds a secret, or is no dictionary.
    """

    config: str | None
    lakefs_conn_id: str | None
    lakefs: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        refuse_secrets(self.lakefs)
        if self.lakefs is not None and not isinstance(self.lakefs, Mapping):
            raise UsageError(
                f"lakefs is {self.lakefs!r}", next_step='say keys of [lakefs] as a dictionary: {"repository": "photos"}'
            )

    def connect(self) -> sync.Connection:
        """Connect from a task.

        Raises:
            AirflowNotFoundException: There is no such connection.
            ConfigError: Something is wrong; it lists all that is.
            UsageError: No server is named anywhere, or the connection's extra is no JSON object.
        """
        from syncd.client import sync

        found = BaseHook.get_connection(self.lakefs_conn_id) if self.lakefs_conn_id else None
        return sync.connect(self.config or None, **self._keys(found))

    async def connect_async(self) -> aio.Connection:
        """Connect from the triggerer, whose event loop other triggers share; raises as :meth:`connect`."""
        found = await BaseHook.aget_connection(self.lakefs_conn_id) if self.lakefs_conn_id else None
        return await asyncio.to_thread(self._connection, found)  # imports, and reads files

    def _connection(self, found: AirflowConnection | None) -> aio.Connection:
        from syncd.client import aio

        return aio.connect(self.config or None, **self._keys(found))

    def _keys(self, found: AirflowConnection | None) -> dict[str, Any]:
        return {**(keys_of(found) if found else {}), **(self.lakefs or {})}


def refuse_secrets(lakefs: object) -> None:
    """Refuse a secret among the keys that a DAG says, as soon as they are known.

    Raises:
        UsageError: There is one.
    """
    if isinstance(lakefs, Mapping) and SECRET in lakefs:
        raise UsageError(
            f"{SECRET} stands in a DAG",
            cause="Airflow writes the arguments of tasks and triggers into its database",
            next_step="name an Airflow connection, lakefs_conn_id=…, or a file, secret_access_key_file",
        )


def keys_of(connection: AirflowConnection) -> dict[str, Any]:
    """Return the keys of ``[lakefs]`` that an Airflow connection says.

    Its type may be ``lakefs`` or ``generic``. The host is the endpoint ("http://lakefs:8000"; without a scheme that of
    ``schema``, or https), the login the key id, the password the secret; the extra may say more keys of ``[lakefs]``,
    such as ``{"repository": "photos"}``.

    Raises:
        UsageError: The extra is no JSON object.
    """
    said = {
        "endpoint": _endpoint(connection),
        "access_key_id": connection.login,
        SECRET: connection.password,
    }
    return {**_extra(connection), **{key: value for key, value in said.items() if value}}


def _endpoint(connection: AirflowConnection) -> str:
    if not connection.host:
        return ""
    host = connection.host if "://" in connection.host else f"{connection.schema or 'https'}://{connection.host}"
    return f"{host.rstrip('/')}:{connection.port}" if connection.port else host


def _extra(connection: AirflowConnection) -> dict[str, Any]:
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise UsageError(
            f"the extra of the Airflow connection {connection.conn_id!r} is no JSON object",
            next_step='write keys of [lakefs] there, such as {"repository": "photos"}, or leave it empty',
        )
    return extra
