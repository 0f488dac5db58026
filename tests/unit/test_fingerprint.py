"""Fingerprints are of what was there, whole; the digest of a set follows each change without a look at the rest."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.fingerprint import (
    ChangedDuringReadError,
    OpenForWritingError,
    ReadingStoppedError,
    SetDigest,
    fingerprint_file,
    opened_for_writing,
    read_fingerprint,
    signature_of,
)

pairs = st.dictionaries(st.text(max_size=20), st.binary(min_size=32, max_size=32), max_size=12)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_one_read_gives_both_digests_and_the_size(tmp_path: Path, directory: int, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "f").write_bytes(content[:size])
    fingerprint, signature = fingerprint_file(directory, "f")
    assert fingerprint.sha256 == hashlib.sha256(content[:size]).digest()
    assert fingerprint.md5 == hashlib.md5(content[:size], usedforsecurity=False).digest()
    assert fingerprint.size_bytes == signature.size_bytes == size
    assert signature == signature_of((tmp_path / "f").lstat())


def test_another_version_than_the_listed_one_is_refused(tmp_path: Path, directory: int) -> None:
    (tmp_path / "f").write_bytes(b"one")
    _, listed = fingerprint_file(directory, "f")
    assert fingerprint_file(directory, "f", listed)[1] == listed
    (tmp_path / "g").write_bytes(b"one")
    (tmp_path / "g").rename(tmp_path / "f")
    with pytest.raises(ChangedDuringReadError):
        fingerprint_file(directory, "f", listed)


def test_a_change_while_it_is_read_is_noticed(tmp_path: Path, directory: int) -> None:
    """P2."""
    path = tmp_path / "f"
    path.write_bytes(bytes(3 << 20))
    os.utime(path, (1, 1))

    def change_it() -> bool:
        os.utime(path, (2, 2))
        return False

    with pytest.raises(ChangedDuringReadError):
        fingerprint_file(directory, "f", stopped=change_it)
    with pytest.raises(ReadingStoppedError):
        fingerprint_file(directory, "f", stopped=lambda: True)


def test_links_pipes_and_directories_are_not_read(tmp_path: Path, directory: int) -> None:
    """Faults 15 and 16: nothing is followed, and a pipe without a writer makes nobody wait."""
    (tmp_path / "link").symlink_to("f")
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="symbolic"):
        fingerprint_file(directory, "link")
    for name in ("pipe", "dir"):
        with pytest.raises(ChangedDuringReadError):
            fingerprint_file(directory, name)
    with pytest.raises(FileNotFoundError):
        fingerprint_file(directory, "nothing")


def test_a_file_that_is_open_for_writing_is_not_read(tmp_path: Path, directory: int) -> None:
    path = tmp_path / "f"
    with path.open("wb"), pytest.raises(OpenForWritingError):
        fingerprint_file(directory, "f")
    with path.open("rb"):  # readers do not matter
        assert fingerprint_file(directory, "f")[0].size_bytes == 0


def test_asking_for_writers_leaves_no_lease_behind(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    fd = os.open(path, os.O_RDONLY)
    try:
        assert not opened_for_writing(fd)
        assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK
        with path.open("ab"):
            assert opened_for_writing(fd)
    finally:
        os.close(fd)
    assert not opened_for_writing(os.open("/dev/null", os.O_RDONLY))  # where it cannot be told


def test_a_writer_that_comes_while_it_is_asked_ends_nobody(tmp_path: Path) -> None:
    """The kernel tells the holder of a lease by a signal; by default it would end the process."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    script = f"""
import os, threading
from syncd.fingerprint import opened_for_writing
def write():
    for _ in range(3000):
        os.close(os.open({str(path)!r}, os.O_WRONLY))
writer = threading.Thread(target=write)
writer.start()
fd = os.open({str(path)!r}, os.O_RDONLY)
while writer.is_alive():
    opened_for_writing(fd)
print("alive")
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=Path(__file__).parents[2], timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (0, b"alive\n"), result.stderr


def test_reading_from_many_threads_gives_each_its_own(tmp_path: Path, directory: int) -> None:
    for number in range(8):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 100_000)
    found: dict[int, bytes] = {}

    def run(number: int) -> None:
        fd = os.open(str(number), os.O_RDONLY, dir_fd=directory)
        found[number] = read_fingerprint(fd).sha256
        os.close(fd)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: hashlib.sha256(bytes([number]) * 100_000).digest() for number in range(8)}


def digest_of(members: dict[str, bytes]) -> SetDigest:
    digest = SetDigest()
    for key, sha256 in members.items():
        digest.add(key, sha256)
    return digest


@given(members=pairs, order=st.randoms())
def test_the_digest_of_a_set_does_not_depend_on_the_order(members: dict[str, bytes], order: object) -> None:
    shuffled = sorted(members.items(), key=lambda pair: hash((pair, str(order))))
    assert digest_of(dict(shuffled)).hexdigest() == digest_of(members).hexdigest()


@given(members=pairs, others=pairs)
def test_following_changes_gives_the_same_as_starting_anew(members: dict[str, bytes], others: dict[str, bytes]) -> None:
    digest = SetDigest(digest_of(members).state)
    for key, sha256 in others.items():
        if key in members:
            digest.remove(key, members[key])
        digest.add(key, sha256)
    assert digest.state == digest_of(members | others).state
    assert len(digest.hexdigest()) == 64


@given(members=pairs.filter(bool))
def test_another_set_has_another_digest(members: dict[str, bytes]) -> None:
    key, sha256 = next(iter(members.items()))
    renamed = {other + "x" if other == key else other: value for other, value in members.items()}
    flipped = members | {key: bytes([sha256[0] ^ 1]) + sha256[1:]}
    without = {other: value for other, value in members.items() if other != key}
    digests = [digest_of(found).hexdigest() for found in (members, flipped, without)]
    if renamed.keys() != members.keys() and len(renamed) == len(members):
        digests.append(digest_of(renamed).hexdigest())
    assert len(set(digests)) == len(digests)


def test_the_digest_of_nothing_is_that_of_an_empty_state() -> None:
    digest = SetDigest()
    assert digest.state == bytes(256)
    digest.add("a", bytes(32))
    digest.remove("a", bytes(32))
    assert digest.state == bytes(256)
    with pytest.raises(ValueError, match="256 bytes"):
        SetDigest(b"short")


def test_the_digest_of_a_known_set_never_changes() -> None:
    """It stands in commits: the same set must give the same digits in every later version."""
    digest = SetDigest()
    digest.add("images/a.jpg", hashlib.sha256(b"a").digest())
    digest.add("tables/labels.csv", hashlib.sha256(b"b").digest())
    assert digest.hexdigest() == "c04a26fac01e13abbbb7855441ef3ee7f45e55aaf5999e9ee136c3336dfa71a1"
