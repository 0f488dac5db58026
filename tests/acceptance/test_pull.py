"""``syncd pull`` as a command against a real lakeFS: killed, resumed, refused, and read by others meanwhile."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from syncd.errors import EXIT_FAILED, EXIT_USAGE
from tests.support.comparing import assert_same, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

COUNT = 1500


@pytest.fixture
def published(dataset: Dataset, rng: random.Random) -> Dataset:
    for number in range(COUNT):
        path = dataset.root / str(number % 20) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(1, 30_000)))
    dataset.json_of("sync")
    return dataset


def cached(cache: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(cache / "objects"))


def test_killed_it_goes_on_where_it_was_and_nobody_ever_sees_half_of_it(
    published: Dataset, tmp_path: Path, rng: random.Random
) -> None:
    target, cache = tmp_path / "pulled", published.home / ".cache" / "syncd" / "pull"
    for wanted in (200, 700):
        pulling = subprocess.Popen(
            published.arguments("pull", "latest", str(target)), env=published.environment, stderr=subprocess.PIPE
        )
        until(lambda wanted=wanted: cached(cache) >= wanted, "some is there")
        pulling.kill()
        _, complaint = pulling.communicate()
        assert pulling.returncode < 0, complaint
        assert not target.exists()
    had = cached(cache)
    assert had < COUNT
    told = published.json_of("pull", "latest", str(target))
    assert (told["objects"], told["fetched_objects"]) == (COUNT, COUNT - had)
    assert_same(folder(target / "images"), folder(published.root))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".pulled")] == []
    assert not any((cache / "incoming").iterdir())

    before = folder(published.root)
    changed = rng.sample(sorted(published.root.rglob("*.png")), 50)
    for path in changed:
        path.write_bytes(rng.randbytes(1000))
    published.json_of("sync")
    after = folder(published.root)
    seen = set()
    pulling = subprocess.Popen(published.arguments("pull", "latest", str(target)), env=published.environment)
    while pulling.poll() is None:  # through one open folder after the other
        descriptor = os.open(target, os.O_DIRECTORY)
        try:
            states = set()
            for path in changed:
                key = path.relative_to(published.root).as_posix()
                try:
                    file = os.open(f"images/{key}", os.O_RDONLY, dir_fd=descriptor)
                except FileNotFoundError:  # this folder has been replaced, and is being removed
                    states = {"gone"}
                    break
                with os.fdopen(file, "rb") as opened:
                    content = opened.read()
                states.add("before" if content == before[f"images/{key}"] else "after")
                assert content in {before[f"images/{key}"], after[f"images/{key}"]}
            assert len(states) == 1, states
            seen |= states
        finally:
            os.close(descriptor)
    assert pulling.returncode == 0
    assert "before" in seen
    assert_same(folder(target / "images"), after)


def test_what_cannot_be_pulled_into_is_named(published: Dataset, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    refused = published.command("pull", "latest", str(mine), "--delete")
    assert refused.returncode == EXIT_USAGE
    assert "neither empty nor a folder that a pull made" in refused.stderr
    target = tmp_path / "pulled"
    told = published.command("pull", "latest", str(target), "images/3", "tables")
    assert told.returncode == EXIT_USAGE
    assert "holds nothing called 'tables'" in told.stderr
    told = published.command("pull", "latest", str(target), "images/3")
    assert told.stdout.startswith(f"{target} is snap-"), told.stderr
    assert set(folder(target / "images")) == {key for key in folder(published.root) if key.startswith("images/3/")}
    (target / "images" / "note.txt").write_text("mine")
    refused = published.command("pull", "latest", str(target))
    assert refused.returncode == EXIT_FAILED
    assert "'images/note.txt': no snapshot brought it" in refused.stderr
    assert "--delete" in refused.stderr
    assert published.command("pull", "latest", str(target), "--delete").returncode == 0
    assert_same(folder(target / "images"), folder(published.root))
    unknown = published.command("pull", "latst", str(target))
    assert "similar: latest" in unknown.stderr
