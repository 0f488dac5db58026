"""A real lakeFS server behind TLS: whom both protocols trust, and what they say and send where they do not."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from syncd.errors import NeedsPersonStoreError, StoreError
from tests.support.tls_front import tls_front

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.stores import RealServer, Stores

pytestmark = pytest.mark.lakefs

HOST = "127.0.0.1"
DAY = timedelta(days=1)
LARGE_BYTES = 3 * 1024 * 1024  # streamed, after "Expect: 100-continue"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def save(tmp_path: Path) -> Callable[[trustme.CA], str]:
    """Write an authority's certificate to a file of its own, and return the path."""

    def write(authority: trustme.CA) -> str:
        path = tmp_path / f"ca-{len(list(tmp_path.iterdir()))}.pem"
        authority.cert_pem.write_to_path(str(path))
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _no_certificates_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


async def _use(stores: Stores) -> str:
    """Do the main job once; return the published commit."""
    await stores.versions.ensure_repository(f"local://{stores.repository}", "main")
    await stores.versions.ensure_branch("staging", "main")
    await stores.put("images/1.jpg", b"the bytes of one")
    assert await stores.objects.head("images/1.jpg")
    await stores.commit()
    return await stores.publish()


async def _refusals(stores: Stores) -> list[StoreError]:
    """Return the errors of calls over each protocol, with and without a body."""
    large = os.urandom(LARGE_BYTES)
    calls: list[Callable[[], Any]] = [
        partial(stores.put, "images/1.jpg", b"the bytes of one"),
        partial(stores.objects.put, "images/2.jpg", io.BytesIO(large), stores.fingerprint(large), "image/jpeg"),
        partial(stores.objects.head, "images/1.jpg"),
        partial(stores.objects.delete, ["images/1.jpg"]),
        partial(stores.versions.head, "main"),
        partial(stores.commit),
    ]
    errors = []
    for call in calls:
        with pytest.raises(NeedsPersonStoreError) as caught:
            await call()
        errors.append(caught.value)
    return errors


async def test_with_the_authority_in_ca_file_everything_works(
    real_server: RealServer, repository_name: str, authority: trustme.CA, save: Callable[[trustme.CA], str]
) -> None:
    large = os.urandom(LARGE_BYTES)
    async with (
        tls_front(real_server.endpoint, authority.issue_cert(HOST)) as front,
        real_server.open(repository_name, endpoint=front.endpoint, ca_file=save(authority)) as stores,
    ):
        published = await _use(stores)
        await stores.objects.put("images/2.jpg", io.BytesIO(large), stores.fingerprint(large), "image/jpeg")
        assert await stores.objects.get("images/2.jpg") == large
        await stores.objects.delete(["images/1.jpg"])
        assert await stores.changes() == [("removed", "images/1.jpg"), ("added", "images/2.jpg")]
        assert await stores.keys("main") == ["images/1.jpg"]
        sent = b"".join(front.decrypted)
    async with real_server.open(repository_name) as plain:
        assert await plain.versions.head_id("main") == published
    for part in (b"PUT /", b"POST /api/v1/", b"the bytes of one", large[-1024:]):
        assert part in sent  # else the tests below would prove nothing


@pytest.mark.parametrize("named", ["no authority", "another one"])
@pytest.mark.parametrize("host", [HOST, "localhost"])
async def test_a_server_of_an_unknown_authority_is_told_nothing_and_named(
    real_server: RealServer, authority: trustme.CA, save: Callable[[trustme.CA], str], named: str, host: str
) -> None:
    ca_file = None if named == "no authority" else save(trustme.CA())
    async with tls_front(real_server.endpoint, authority.issue_cert(host)) as front:
        address = front.endpoint.replace(HOST, host)
        async with real_server.open("photos", endpoint=address, ca_file=ca_file) as stores:
            errors = await _refusals(stores)
    for error in errors:
        assert address in error.fact
        assert "not trusted" in error.fact
        assert "certificate was not accepted: unable to get local issuer certificate" in error.cause
        assert "private authority" in error.next_step
        assert "lakefs.ca_file" in error.next_step
    assert len(front.greetings) == len(errors), "each asked the server once"
    assert front.decrypted == []


@pytest.mark.parametrize(
    ("name", "valid", "cause", "next_step"),
    [
        (HOST, {"not_after": -DAY}, "certificate has expired", "renew the server's certificate"),
        (HOST, {"not_before": DAY}, "certificate is not yet valid", "set this machine's clock"),
        ("lakefs.example.org", {}, f"certificate is not valid for '{HOST}'", "set lakefs.endpoint to a name"),
        ("10.0.0.1", {}, f"certificate is not valid for '{HOST}'", "set lakefs.endpoint to a name"),
    ],
    ids=["expired", "too new", "another host", "another address"],
)
async def test_a_certificate_with_a_fault_is_named_with_what_mends_it(
    real_server: RealServer,
    authority: trustme.CA,
    save: Callable[[trustme.CA], str],
    name: str,
    valid: dict[str, timedelta],
    cause: str,
    next_step: str,
) -> None:
    now = datetime.now(UTC)
    certificate = authority.issue_cert(name, **{end: now + distance for end, distance in valid.items()})
    async with (
        tls_front(real_server.endpoint, certificate) as front,
        real_server.open("photos", endpoint=front.endpoint, ca_file=save(authority)) as stores,
    ):
        errors = await _refusals(stores)
    for error in errors:
        assert cause in error.cause
        assert next_step in error.next_step
        assert "ca_file" not in error.next_step, "it is right as it is"
        assert "http://" not in error.next_step, "the secret would go there unencrypted"
    assert len(front.greetings) == len(errors)
    assert front.decrypted == []


async def test_a_host_by_its_wrong_name_is_named(
    real_server: RealServer, authority: trustme.CA, save: Callable[[trustme.CA], str]
) -> None:
    async with tls_front(real_server.endpoint, authority.issue_cert("lakefs.example.org")) as front:
        address = front.endpoint.replace(HOST, "localhost")
        async with real_server.open("photos", endpoint=address, ca_file=save(authority)) as stores:
            for error in await _refusals(stores):
                assert "certificate is not valid for 'localhost'" in error.cause
                assert "lakefs.endpoint" in error.next_step
    assert set(front.greetings) == {"localhost"}
    assert front.decrypted == []


async def test_an_authority_that_the_system_knows_needs_no_setting(
    real_server: RealServer,
    repository_name: str,
    authority: trustme.CA,
    save: Callable[[trustme.CA], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", save(authority))  # where OpenSSL finds the system's
    async with (
        tls_front(real_server.endpoint, authority.issue_cert(HOST)) as front,
        real_server.open(repository_name, endpoint=front.endpoint) as stores,
    ):
        assert await _use(stores)


async def test_only_the_authority_in_ca_file_is_trusted(
    real_server: RealServer,
    authority: trustme.CA,
    save: Callable[[trustme.CA], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", save(authority))
    async with (
        tls_front(real_server.endpoint, authority.issue_cert(HOST)) as front,
        real_server.open("photos", endpoint=front.endpoint, ca_file=save(trustme.CA())) as stores,
    ):
        await _refusals(stores)
    assert front.decrypted == []


async def test_no_variable_of_other_tools_makes_a_server_trusted(
    real_server: RealServer,
    authority: trustme.CA,
    save: Callable[[trustme.CA], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = save(authority)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, path)
    async with (
        tls_front(real_server.endpoint, authority.issue_cert(HOST)) as front,
        real_server.open("photos", endpoint=front.endpoint) as stores,
    ):
        await _refusals(stores)
    assert front.decrypted == []
