"""What config/compose.yaml and config/kubernetes.yaml say fits the image that was built, and works in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with lakefs, without stubs

from tests.support.image import Container, Image

CONFIG = Path(__file__).parents[2] / "config"
REFUSED = "must be readable by its owner alone"


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((CONFIG / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def kinds() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all((CONFIG / "kubernetes.yaml").read_text())}


def mount_secret(folder: Path, name: str) -> None:
    """As the kubelet does: root's, the group of fsGroup, mode 0440, behind two links."""
    real = folder / "..2026_01_01"
    real.mkdir(parents=True)
    (real / name).write_text("a-secret\n")
    os.chown(real / name, 0, 10001)
    (real / name).chmod(0o440)
    (folder / "..data").symlink_to(real.name)
    (folder / name).symlink_to(f"..data/{name}")


def checked(image: Image, tmp_path: Path, toml: str) -> tuple[int, str]:
    """Run ``syncd config check`` in the image."""
    for name in ("images", "state", "secrets"):
        (tmp_path / name).mkdir(exist_ok=True)
    os.chown(tmp_path / "state", 10001, 10001)
    config = tmp_path / "syncd.toml"
    config.write_text(toml)
    places = {name: tmp_path / name for name in ("images", "state", "secrets")}
    made = Container(image, **places, config=config, log=tmp_path / "log").run(["syncd", "config", "check"])
    return made.returncode, made.stdout + made.stderr


def test_the_configuration_of_the_manifest_loads_with_its_secret_as_mounted(
    image: Image, tmp_path: Path, kinds: dict[str, Any]
) -> None:
    toml = kinds["ConfigMap"]["data"]["syncd.toml"]
    mount_secret(tmp_path / "secrets/syncd", "lakefs_secret_access_key")
    code, said = checked(image, tmp_path, toml)
    assert code == 0, said


def test_such_a_secret_is_refused_anywhere_else(image: Image, tmp_path: Path, kinds: dict[str, Any]) -> None:
    toml = kinds["ConfigMap"]["data"]["syncd.toml"].replace("/run/secrets/syncd", "/srv/images")
    mount_secret(tmp_path / "images", "lakefs_secret_access_key")
    code, said = checked(image, tmp_path, toml)
    assert code == 78
    assert REFUSED in said


def test_the_configuration_of_compose_loads(image: Image, tmp_path: Path, compose: Any) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/lakefs_secret_access_key").write_text("a-secret\n")
    code, said = checked(image, tmp_path, (CONFIG / compose["configs"]["syncd"]["file"]).read_text())
    assert code == 0, said


def test_the_manifest_fits_the_image(image: Image, kinds: dict[str, Any]) -> None:
    deployment = kinds["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    user, _, group = image.config["User"].partition(":")
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert deployment["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()
    rights = pod["securityContext"]
    assert (rights["runAsUser"], rights["runAsGroup"], rights["fsGroup"]) == (int(user), int(group), int(group))
    assert rights["runAsNonRoot"] is True
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["args"] == image.config["Cmd"]
    assert "command" not in container  # the entry point stays: it reaps and passes signals on
    ready, live = image.config["Healthcheck"]["Test"][1:], [*image.config["Healthcheck"]["Test"][1:], "--live"]
    probed = [container[name]["exec"]["command"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert probed == [live, live, ready]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {*image.config["Volumes"], "/tmp"}  # noqa: S108 - of the container
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440
    assert volumes["config"]["configMap"]["name"] == kinds["ConfigMap"]["metadata"]["name"]
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert all("namespace" not in each["metadata"] for each in kinds.values())


def test_compose_fits_the_image(image: Image, compose: Any) -> None:
    syncd = compose["services"]["syncd"]
    assert not {"user", "entrypoint", "command", "healthcheck", "ports", "privileged"} & set(syncd)  # the image's own
    assert (syncd["read_only"], syncd["cap_drop"], syncd["tmpfs"]) == (True, ["ALL"], ["/tmp"])  # noqa: S108
    mounted = [volume.split(":") for volume in syncd["volumes"]]
    assert {where for _, where, *mode in mounted if mode != ["ro"]} == set(image.config["Volumes"])
    for service in compose["services"].values():
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
        assert set(service["secrets"]) <= set(compose["secrets"])
        assert "env_file" not in service
        assert not [key for key in service.get("environment", {}) if key.endswith(("PASSWORD", "KEY", "STRING"))]


def test_compose_mounts_files_into_what_is_read_only(compose: Any) -> None:
    """Compose copies inline content into the container once it is made, and refuses that for a read-only one."""
    for service in compose["services"].values():
        for kind in ("configs", "secrets"):
            for asked in service.get(kind, ()) if service.get("read_only") else ():
                source = compose[kind][asked["source"] if isinstance(asked, dict) else asked]
                assert set(source) == {"file"}, (kind, asked)
