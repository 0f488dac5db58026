"""Single files put among others: whole or not at all, and never over what is not as expected."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from syncd.snapshots import putting
from syncd.snapshots.putting import InTheWayError


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


@pytest.fixture
def cached(tmp_path: Path) -> str:
    path = tmp_path / "cached"
    path.write_bytes(b"old")
    path.chmod(0o444)
    return str(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_where_nothing_is_directories_are_made(cached, root):
    putting.put(cached, root, "a/b/1.png", expected=None)
    assert (root / "a/b/1.png").read_bytes() == b"old"
    assert os.access(root / "a/b/1.png", os.W_OK), "a file of its own, not the cached one"
    assert [path.name for path in (root / "a/b").iterdir()] == ["1.png"]


@pytest.mark.parametrize("expected", [None, sha256(b"what was there")])
def test_what_is_not_as_expected_stays(cached, root, expected):
    (root / "1.png").write_bytes(b"newer")
    with pytest.raises(InTheWayError, match="not as it was"):
        putting.put(cached, root, "1.png", expected=expected)
    assert [(path.name, path.read_bytes()) for path in root.iterdir()] == [("1.png", b"newer")]


def test_a_file_that_should_be_replaced_and_is_gone_stays_gone(cached, root):
    with pytest.raises(InTheWayError):
        putting.put(cached, root, "1.png", expected=sha256(b"what was there"))
    assert list(root.iterdir()) == []


def test_what_is_replaced_keeps_its_mode(cached, root):
    (root / "1.png").write_bytes(b"there")
    (root / "1.png").chmod(0o640)
    putting.put(cached, root, "1.png", expected=sha256(b"there"))
    assert (root / "1.png").read_bytes() == b"old"
    assert (root / "1.png").stat().st_mode & 0o777 == 0o640


def test_links_and_directories_are_no_files(cached, root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "file").write_bytes(b"there")
    (root / "directory").mkdir()
    (root / "broken").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    for path in ("link/1.png", "link/below/1.png", "file/1.png", "directory", "broken", "link", "fifo"):
        for expected in (None, sha256(b"there")):
            with pytest.raises(InTheWayError):
                putting.put(cached, root, path, expected=expected)
        if path != "file/1.png":
            with pytest.raises(InTheWayError):
                putting.remove(root, path, expected=sha256(b"there"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert sorted(path.name for path in root.iterdir()) == ["broken", "directory", "fifo", "file", "link"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_hard_links_will_do(cached, root, monkeypatch, number):
    def no_links(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_links)
    putting.put(cached, root, "1.png", expected=None)
    assert (root / "1.png").read_bytes() == b"old"
    with pytest.raises(InTheWayError):
        putting.put(cached, root, "1.png", expected=None)


def test_what_is_removed_takes_empty_directories_along(root):
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/1.png").write_bytes(b"there")
    (root / "a/2.png").write_bytes(b"other")
    assert putting.remove(root, "a/b/1.png", expected=sha256(b"there"))
    assert sorted(path.name for path in (root / "a").iterdir()) == ["2.png"]
    with pytest.raises(InTheWayError):
        putting.remove(root, "a/2.png", expected=sha256(b"there"))
    assert putting.remove(root, "a/2.png", expected=sha256(b"other"))
    assert root.is_dir()
    assert list(root.iterdir()) == []
    assert not putting.remove(root, "a/2.png", expected=sha256(b"other")), "it was gone already"
