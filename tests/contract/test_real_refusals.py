"""What a real lakeFS server refuses, in words that name the cause and the next step."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from syncd.errors import NeedsPersonStoreError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stores import RealServer, Stores

pytestmark = pytest.mark.lakefs

WRONG_SECRET = "not-the-secret-but-still-a-secret"


async def _both_fail(stores: Stores) -> list[StoreError]:
    """Return the errors of one call over each protocol."""
    with pytest.raises(NeedsPersonStoreError) as over_s3:
        await stores.put("images/1.jpg", b"one")
    with pytest.raises(NeedsPersonStoreError) as over_rest:
        await stores.versions.head("main")
    return [over_s3.value, over_rest.value]


async def _set_up(stores: Stores, api: str, function: str, *arguments: Any, **named: Any) -> None:
    """Do what syncd never does, with the SDK's client that it has."""
    versions: Any = stores.versions
    await asyncio.to_thread(getattr(getattr(versions.sdk.client, api), function), *arguments, **named)


async def test_a_wrong_secret_is_named_but_not_shown(real_server: RealServer, real_stores: Stores) -> None:
    async with real_server.open(real_stores.repository, secret_access_key=WRONG_SECRET) as stores:
        for error in await _both_fail(stores):
            assert "access_key_id" in error.next_step
            assert WRONG_SECRET not in str(error)
            assert real_server.credentials["secret_access_key"] not in str(error)
        with pytest.raises(NeedsPersonStoreError):
            await stores.objects.head("images/1.jpg")
        with pytest.raises(NeedsPersonStoreError):
            await stores.objects.delete(["images/1.jpg"])


async def test_an_unknown_key_is_named(real_server: RealServer, real_stores: Stores) -> None:
    async with real_server.open(real_stores.repository, access_key_id="AKIAUNKNOWN") as stores:
        for error in await _both_fail(stores):
            assert "access key id" in error.cause
    async with real_server.open(real_stores.repository, access_key_id="A" * 21) as stores:
        await _both_fail(stores)


async def test_an_endpoint_that_ends_in_the_api_is_named(real_server: RealServer, real_stores: Stores) -> None:
    address = f"{real_server.endpoint}/api/v1"
    async with real_server.open(real_stores.repository, endpoint=address) as stores:
        with pytest.raises(NeedsPersonStoreError) as caught:
            await stores.put("images/1.jpg", b"one")
        assert "/api/v1" in caught.value.next_step
        assert await stores.versions.head("main"), "over REST it is right"


async def test_an_endpoint_with_another_path_is_named(real_server: RealServer, real_stores: Stores) -> None:
    address = f"{real_server.endpoint}/some/where"
    async with real_server.open(real_stores.repository, endpoint=address) as stores:
        errors = await _both_fail(stores)
        assert "lakefs.endpoint" in errors[1].next_step


async def test_a_server_without_tls_is_named(real_server: RealServer, real_stores: Stores) -> None:
    address = real_server.endpoint.replace("http:", "https:")
    async with real_server.open(real_stores.repository, endpoint=address) as stores:
        for error in await _both_fail(stores):
            assert "does not speak TLS" in error.cause
            assert "http://" in error.next_step


async def test_a_protected_branch_takes_merges_only(real_stores: Stores) -> None:
    """P9: the publish branch may be protected; syncd then still publishes to it."""
    rules = [{"pattern": "main"}, {"pattern": "protected"}]
    await _set_up(real_stores, "repositories_api", "set_branch_protection_rules", real_stores.repository, rules)
    await real_stores.versions.ensure_branch("protected", "main")
    async with real_stores.server.open(real_stores.repository, "protected") as stores:
        with pytest.raises(NeedsPersonStoreError, match="protected"):
            await stores.put("images/1.jpg", b"one")
        outcome = await stores.objects.delete(["images/1.jpg"])
        assert isinstance(outcome.failed["images/1.jpg"], NeedsPersonStoreError)
        with pytest.raises(NeedsPersonStoreError, match="protected"):
            await stores.versions.commit("protected", "m", {})
    await real_stores.put("images/1.jpg", b"one")
    await real_stores.commit()
    await real_stores.publish()
    assert await real_stores.keys("main") == ["images/1.jpg"]


async def test_a_read_only_repository_is_named(real_server: RealServer, repository_name: str) -> None:
    async with real_server.open(repository_name, "main") as stores:
        creation = {"name": repository_name, "storage_namespace": f"local://{repository_name}", "read_only": True}
        await _set_up(stores, "repositories_api", "create_repository", creation)
        assert await stores.versions.ensure_repository("local://other", "main") is False
        with pytest.raises(NeedsPersonStoreError, match="read-only"):
            await stores.put("images/1.jpg", b"one")
        with pytest.raises(NeedsPersonStoreError, match="read-only"):
            await stores.objects.delete(["images/1.jpg"])
        with pytest.raises(NeedsPersonStoreError, match="read-only"):
            await stores.versions.ensure_branch("staging", "main")


@pytest.mark.parametrize(
    ("namespace", "setting"),
    [("s3://bucket/of-another-storage", "lakefs.storage_namespace"), ("local://../../outside", "bucket")],
)
async def test_a_storage_namespace_that_cannot_be_used_is_explained(
    real_server: RealServer, repository_name: str, namespace: str, setting: str
) -> None:
    async with real_server.open(repository_name) as stores:
        with pytest.raises(NeedsPersonStoreError) as caught:
            await stores.versions.ensure_repository(namespace, "main")
        assert setting in caught.value.next_step
        assert namespace in str(caught.value)


async def _upload(stores: Stores, key: str, content: str) -> None:
    place = (stores.repository, "staging", key)
    await _set_up(stores, "objects_api", "upload_object", *place, content=content.encode())


async def test_a_hook_that_refuses_needs_a_person_and_is_quoted(real_stores: Stores) -> None:
    action = (
        "name: gate\n"
        "on: {pre-commit: {branches: [staging]}}\n"
        "hooks:\n"
        "  - id: labels\n"
        "    type: lua\n"
        "    properties: {script: \"error('labels are missing')\"}\n"
    )
    await _upload(real_stores, "_lakefs_actions/gate.yaml", action)
    with pytest.raises(NeedsPersonStoreError, match="labels are missing") as caught:
        await real_stores.commit()
    assert "lakectl actions" in caught.value.next_step


async def test_a_faulty_action_file_needs_a_person(real_stores: Stores) -> None:
    await _upload(real_stores, "_lakefs_actions/broken.yaml", "hooks: [nothing that works]\n")
    with pytest.raises(NeedsPersonStoreError, match="_lakefs_actions"):
        await real_stores.commit()


async def test_an_unusable_certificate_file_is_named(real_server: RealServer, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(NeedsPersonStoreError, match=name):
            async with real_server.open("photos", ca_file=str(tmp_path / name)):
                pass


async def test_no_file_or_variable_of_other_tools_is_read(
    real_server: RealServer, repository_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "AWS_PROFILE": "missing",
        "AWS_ACCESS_KEY_ID": "AKIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_CONFIG_FILE": str(tmp_path / "missing"),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "LAKECTL_SERVER_ENDPOINT_URL": "http://127.0.0.1:9",
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": "AKIAOTHER",
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": "other",
    }.items():
        monkeypatch.setenv(name, value)
    async with real_server.open(repository_name, "main") as stores:
        await stores.versions.ensure_repository(f"local://{repository_name}", "main")
        await stores.put("images/1.jpg", b"one")
        assert await stores.objects.get("images/1.jpg") == b"one"
