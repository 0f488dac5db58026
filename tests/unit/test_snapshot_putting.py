"""Single files put among others: whole or not at all, and never over what is not as expected."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from syncd.snapshots import putting
from syncd.snapshots.putting import InTheWayError

ANN, TEAM = 12345, 23456  # ids of nobody on this machine

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


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


def test_nothing_outside_the_folder_is_touched(cached, root, tmp_path):
    """Whatever a key says: one of someone else's may begin with "/" once its area is taken off."""
    for directory in (tmp_path / "elsewhere", tmp_path / "root-too"):
        directory.mkdir()
        (directory / "1.png").write_bytes(b"there")
    (root / "a").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for path in (
        f"{tmp_path}/elsewhere/1.png", f"/{tmp_path}/elsewhere/1.png", "../elsewhere/1.png", "../root-too/1.png",
        "a/../../elsewhere/1.png", "../new/1.png", "", ".", "..", "a/..", "a/../..",
    ):  # fmt: skip
        for expected in (None, sha256(b"there")):
            with pytest.raises(InTheWayError):
                putting.put(cached, root, path, expected=expected)
        with pytest.raises(InTheWayError):
            putting.remove(root, path, expected=sha256(b"there"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_gone_is_not_made_anew(cached, root):
    """As where it was a mount."""
    root.rmdir()
    with pytest.raises(FileNotFoundError):
        putting.put(cached, root, "a/1.png", expected=None)
    assert not root.exists()


def test_a_directory_that_is_removed_as_it_was_made_is_made_again(cached, root, monkeypatch):
    """Another worker removed the last file in it, and then what was empty."""
    opened = os.open

    def after_another(name: str | Path, *arguments: int) -> int:
        if str(name).endswith(".tmp"):
            monkeypatch.setattr(os, "open", opened)
            (root / "a/b").rmdir()
            (root / "a").rmdir()
        return opened(name, *arguments)

    monkeypatch.setattr(os, "open", after_another)
    putting.put(cached, root, "a/b/1.png", expected=None)
    assert (root / "a/b/1.png").read_bytes() == b"old"


def owner_of(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


@only_root
def test_what_is_replaced_stays_whose_it_was(cached, root):
    (root / "1.png").write_bytes(b"there")
    os.chown(root / "1.png", ANN, TEAM)
    (root / "1.png").chmod(0o4640)
    putting.put(cached, root, "1.png", expected=sha256(b"there"))
    assert (root / "1.png").read_bytes() == b"old"
    assert owner_of(root / "1.png") == (ANN, TEAM)
    assert (root / "1.png").stat().st_mode & 0o7777 == 0o640, "what it runs as is not for other content"


@only_root
def test_what_is_new_belongs_to_whom_its_directory_belongs(cached, root):
    (root / "there").mkdir()
    os.chown(root, ANN, TEAM)
    for path in ("1.png", "a/b/2.png", "there/c/3.png"):
        putting.put(cached, root, path, expected=None)
    assert {owner_of(root / path) for path in ("1.png", "a", "a/b", "a/b/2.png")} == {(ANN, TEAM)}
    assert {owner_of(root / path) for path in ("there", "there/c", "there/c/3.png")} == {(0, 0)}


def test_at_no_time_can_more_people_read_it_than_before(cached, root, monkeypatch):
    (root / "1.png").write_bytes(b"there")
    (root / "1.png").chmod(0o640)
    if os.geteuid() == 0:
        os.chown(root / "1.png", ANN, TEAM)
    owner, seen = owner_of(root / "1.png"), []
    copied, chmod = shutil.copyfileobj, os.fchmod

    def copy(*arguments: object) -> None:
        (temporary,) = root.glob(".*.tmp")
        seen.append(temporary.stat().st_mode & 0o077)
        copied(*arguments)

    def set_mode(descriptor: int, mode: int) -> None:
        seen.append((os.fstat(descriptor).st_uid, os.fstat(descriptor).st_gid))
        chmod(descriptor, mode)

    monkeypatch.setattr(shutil, "copyfileobj", copy)
    monkeypatch.setattr(os, "fchmod", set_mode)
    putting.put(cached, root, "1.png", expected=sha256(b"there"))
    assert seen == [0, owner]
    assert (root / "1.png").stat().st_mode & 0o777 == 0o640


@only_root
@pytest.mark.parametrize(("mode", "expected"), [(0o640, 0o600), (0o664, 0o644)])
def test_another_group_may_not_read_it_where_the_old_one_cannot_be_given(cached, root, monkeypatch, mode, expected):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    (root / "1.png").write_bytes(b"there")
    os.chown(root / "1.png", ANN, TEAM)
    (root / "1.png").chmod(mode)
    monkeypatch.setattr(os, "fchown", refuse)
    putting.put(cached, root, "1.png", expected=sha256(b"there"))
    assert (root / "1.png").read_bytes() == b"old"
    assert (root / "1.png").stat().st_mode & 0o777 == expected


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
