"""PyTorch itself loads snapshots: in this process, and with workers that are forked and spawned."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from syncd.demo import digits
from syncd.snapshots.arrow import MissingExtraError
from tests.support.counting_proxy import CountingProxy
from tests.support.daemon import Dataset

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.xdist_group("torch")]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COUNT, BATCH = 22, 4
RUN_S = 300.0


@pytest.fixture(scope="session")
def torch_python(environment) -> Path:
    """A Python with PyTorch, where someone has brought it: what PyPI has for Linux comes with all of CUDA."""
    if not (ROOT / ".cache" / "envs" / "torch").exists():
        pytest.skip(
            "not tested without PyTorch, 3 GB to fetch and 5.4 GB on the disk: scripts/integration_env.sh torch"
        )
    return environment("torch")


@pytest.fixture
def photos(dataset: Dataset, tmp_path: Path) -> Dataset:
    """Published: files that say their number, which is their label, too; in the table the last comes first."""
    for number in range(COUNT):
        (dataset.root / f"{number:03}.png").write_text(f"{number:03}")
    rows = [f"{number:03}.png,{number}" for number in reversed(range(COUNT))]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows, ""]))
    labels = {"name": "labels", "csv": str(tmp_path / "labels.csv"), "key": "image", "image_column": "image"}
    dataset.configure(tables=[labels])
    dataset.json_of("sync")
    return dataset


def run(python: Path, script: Path, home: Path, *arguments: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SYNCD_", "LAKECTL_", "AWS_"))}
    done = subprocess.run(
        [python, "-W", "ignore:Failed to initialize NumPy", script, *arguments],
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **environment},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
        cwd=home,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_shows_the_example():
    assert f"```python\n{(HERE / 'torch_example.py').read_text()}```" in README


def test_without_torch_the_import_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"torch, which.*\n.*pip install 'syncd\[torch\]'"):
        importlib.import_module("syncd.integrations.torch")


def test_batches_are_the_same_with_and_without_workers(torch_python, photos, tmp_path):
    reply = tmp_path / "reply"
    run(torch_python, HERE / "torch_loading.py", tmp_path, str(photos.config), "fork,spawn", str(reply))
    told: dict[str, Any] = json.loads(reply.read_text())
    assert (told["length"], told["is_dataset"], told["both"]) == (COUNT, True, 2 * COUNT)
    numbers = list(reversed(range(COUNT)))
    batches = [numbers[start : start + BATCH] for start in range(0, COUNT, BATCH)]
    assert len(told["plain"]) == 5
    for how, epochs in told["plain"].items():
        assert epochs == [batches] * 2, how
    first = told["shuffled"].pop("0")
    assert first != told["shuffled"].pop("other")
    assert first[0] != first[1], "an epoch has an order of its own"
    for how, epochs in told["shuffled"].items():
        assert epochs == first, how
    for epoch in first:
        assert sorted(number for batch in epoch for number in batch) == list(range(COUNT))
    assert told["parts"] == list(range(COUNT))
    assert told["subset"] == [[numbers[3], numbers[1]]]
    for method in ("fork", "spawn"):
        assert "sample 0, '021.png', of row 0 of the table 'labels'" in told[f"damaged, {method}"]


def test_the_example_trains_on_real_digits_and_fetches_each_once(
    torch_python, dataset, lakefs_server, repository_name, tmp_path
):
    some = digits.load()[:100]
    for number, digit in enumerate(some):
        (dataset.root / f"{number}.png").write_bytes(digits.png(digit))
    rows = [f"{number}.png,{digit.label}" for number, digit in enumerate(some)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows, ""]))
    labels = {"name": "labels", "csv": str(tmp_path / "labels.csv"), "key": "image", "image_column": "image"}
    dataset.configure(tables=[labels])
    tag = dataset.json_of("sync")["tag"]
    text = (HERE / "torch_example.py").read_text().replace("snap-20261123T093833Z-1", tag)
    example = tmp_path / "example.py"
    example.write_text(text.replace('"photos"', f'"{repository_name}"'))
    with CountingProxy(lakefs_server.endpoint) as proxy:
        said = run(
            torch_python,
            example,
            tmp_path,
            LAKECTL_SERVER_ENDPOINT_URL=proxy.endpoint,
            LAKECTL_CREDENTIALS_ACCESS_KEY_ID=lakefs_server.access_key_id,
            LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY=lakefs_server.secret_access_key,
        )
        assert len(some) <= proxy.take()["api"] < len(some) + 20
    batches = [line.rpartition(" ") for line in said.splitlines()]
    assert [shape for shape, _, _ in batches] == [
        f"{epoch} ({count}, 32, 32)" for epoch in range(2) for count in (64, 36)
    ]
    assert sum(int(total) for _, _, total in batches) == 2 * sum(digit.label for digit in some)
