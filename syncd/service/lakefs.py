"""Where lakeFS is: the configured server, or the embedded one; with the stores opened on it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from syncd.embedded.binary import obtain
from syncd.embedded.installation import Installation
from syncd.embedded.ports import answers_as_ours
from syncd.embedded.server import EmbeddedLakeFS
from syncd.errors import EmbeddedServerError
from syncd.store.lakefs_api import LakeFSAPI
from syncd.store.lakefs_lease import LakeFSLease
from syncd.store.lakefs_pins import LakeFSPins
from syncd.store.lakefs_reader import LakeFSReader
from syncd.store.observing import nobody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from syncd.config import Settings
    from syncd.store.base import LeaseStore, ObjectStore, VersionStore
    from syncd.store.observing import Observer
    from syncd.store.pins import PinStore
    from syncd.store.s3_gateway import S3Gateway

log = structlog.get_logger(__name__)

LOOPBACK = "127.0.0.1"  # where the embedded server listens
RESTART_PAUSE_S = 1.0
LONGEST_RESTART_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach a server."""

    endpoint: str
    s3_endpoint: str
    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFS:
    """A server with both stores open."""

    endpoint: str
    storage_namespace: str
    objects: ObjectStore
    versions: VersionStore
    claims: LeaseStore  # on the staging branch
    pins: PinStore
    reader: Reader  # with calls of its own: those who look hold nothing up
    embedded: EmbeddedLakeFS | None

    async def keep_alive(self) -> None:
        """Start the embedded server again whenever it dies; with a server elsewhere there is nothing to do."""
        pause_s = RESTART_PAUSE_S
        while self.embedded is not None:
            await self.embedded.wait()
            log.warning("embedded_lakefs_died", log_tail=self.embedded.log_tail())
            try:
                await self.embedded.restart()
            except EmbeddedServerError as error:
                log.warning("embedded_lakefs_not_restarted", error=str(error), retry_in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_RESTART_PAUSE_S)
            else:
                log.info("embedded_lakefs_restarted", endpoint=self.embedded.endpoint)
                pause_s = RESTART_PAUSE_S


@asynccontextmanager
async def open_lakefs(
    settings: Settings, *, on_progress: Callable[[], None] = lambda: None, observer: Observer = nobody
) -> AsyncIterator[LakeFS]:
    """Start the embedded server if that is what the settings say, and open both stores; nothing is sent yet.

    Args:
        settings: The configuration.
        on_progress: Called whenever something of an upload goes on.
        observer: Told of each request.

    Raises:
        EmbeddedServerError: The embedded server cannot be found, built or started.
        StoreError: ``ca_file`` cannot be read.
    """
    place = settings.lakefs
    async with AsyncExitStack() as stack:
        server = None
        if place.embedded:
            server = await stack.enter_async_context(await _embedded(settings))
        access = _access(settings, server)
        versions = await stack.enter_async_context(open_versions(settings, access, observer))
        yield LakeFS(
            endpoint=access.endpoint,
            storage_namespace=place.storage_namespace or (f"local://{place.repository}" if server else ""),
            objects=await stack.enter_async_context(
                open_objects(settings, access, place.staging_branch, on_progress=on_progress, observer=observer)
            ),
            versions=versions,
            claims=LakeFSLease(versions.sdk, place.repository, place.staging_branch),
            pins=LakeFSPins(versions.sdk, place.repository, place.staging_branch),
            reader=_reader(settings, access, await stack.enter_async_context(open_versions(settings, access))),
            embedded=server,
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """What reads one repository."""

    versions: VersionStore
    pins: PinStore
    _settings: Settings
    _access: Access

    @property
    def settings(self) -> Settings:
        """The settings; where they ask for the embedded server, with the one that is open here."""
        place, access = self._settings.lakefs, self._access
        if not place.embedded:
            return self._settings
        running = place.running_at(access.endpoint, access.access_key_id, access.secret_access_key)
        return self._settings.model_copy(update={"lakefs": running})

    def objects(self, reference: str) -> LakeFSReader:
        """Return the objects of a commit, a tag or a branch; not yet entered."""
        place = self._settings.lakefs
        return LakeFSReader(
            endpoint=self._access.endpoint,
            access_key_id=self._access.access_key_id,
            secret_access_key=self._access.secret_access_key,
            repository=place.repository,
            reference=reference,
            concurrency=self._settings.upload.concurrency,
            ca_file=str(place.ca_file) if place.ca_file else None,
        )


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[Reader]:
    """Open a repository for a command that only reads, beside a running daemon or without one.

    Raises:
        EmbeddedServerError: The embedded server does not run, and cannot be started.
    """
    async with AsyncExitStack() as stack:
        access = await asyncio.to_thread(_running_embedded, settings) if settings.lakefs.embedded else None
        if access is None and settings.lakefs.embedded:
            access = _access(settings, await stack.enter_async_context(await _embedded(settings)))
        access = access or _access(settings, None)
        yield _reader(settings, access, await stack.enter_async_context(open_versions(settings, access)))


def _reader(settings: Settings, access: Access, versions: LakeFSAPI) -> Reader:
    place = settings.lakefs
    return Reader(versions, LakeFSPins(versions.sdk, place.repository, place.staging_branch), settings, access)


def access_now(settings: Settings) -> Access | None:
    """Return how to reach lakeFS as things are, starting nothing; None: the embedded server does not run. Blocks."""
    return _running_embedded(settings) if settings.lakefs.embedded else _access(settings, None)


async def _embedded(settings: Settings) -> EmbeddedLakeFS:
    return EmbeddedLakeFS(settings.service.state_dir, binary=await obtain())


def _running_embedded(settings: Settings) -> Access | None:
    """Return how to reach the embedded server that a daemon runs, if one does."""
    installation = Installation(settings.service.state_dir)
    last = installation.last_start()
    if last is None:
        return None
    keys, endpoint = installation.keys(), f"http://{LOOPBACK}:{last.port}"
    ids = {"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key}
    if not answers_as_ours(LOOPBACK, last.port, **ids):
        return None
    return Access(endpoint=endpoint, s3_endpoint=endpoint, **ids)


def open_objects(
    settings: Settings,
    access: Access,
    reference: str,
    *,
    on_progress: Callable[[], None] = lambda: None,
    observer: Observer = nobody,
) -> S3Gateway:
    """Return the objects of a branch, not yet entered."""
    from syncd.store.s3_gateway import S3Gateway  # noqa: PLC0415 - what reads snapshots starts without an S3 client

    place = settings.lakefs
    return S3Gateway(
        endpoint=access.s3_endpoint,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        repository=place.repository,
        branch=reference,
        concurrency=settings.upload.concurrency,
        addressing_style=place.addressing_style,
        ca_file=str(place.ca_file) if place.ca_file else None,
        on_progress=on_progress,
        observer=observer,
    )


def open_versions(settings: Settings, access: Access, observer: Observer = nobody) -> LakeFSAPI:
    """Return the version store of the repository, not yet entered."""
    place = settings.lakefs
    return LakeFSAPI(
        endpoint=access.endpoint,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        repository=place.repository,
        ca_file=str(place.ca_file) if place.ca_file else None,
        observer=observer,
    )


def _access(settings: Settings, server: EmbeddedLakeFS | None) -> Access:
    place = settings.lakefs
    if server is not None:
        return Access(
            endpoint=server.endpoint,
            s3_endpoint=server.endpoint,
            access_key_id=server.access_key_id,
            secret_access_key=server.secret_access_key,
        )
    secret = place.secret_access_key
    return Access(
        endpoint=place.endpoint,
        s3_endpoint=place.s3_endpoint or place.endpoint,
        access_key_id=place.access_key_id or "",
        secret_access_key=secret.get_secret_value() if secret else "",
    )
