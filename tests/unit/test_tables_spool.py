"""Bodies that wait for their upload."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from syncd.errors import JournalError
from syncd.service.tables import sweep_spools
from syncd.sources.tables.spool import Spool
from syncd.sources.tables.whole_file import whole_file

BODY = b"rows" * 1000
SHA256 = hashlib.sha256(BODY).digest()


def put(spool: Spool, body: bytes) -> bytes:
    with spool.new_file() as path:
        path.write_bytes(body)
        return spool.keep(path).sha256


def test_what_is_kept_can_be_opened_by_its_content(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    with spool.new_file() as path:
        path.write_bytes(BODY)
        fingerprint = spool.keep(path)
    assert fingerprint.sha256 == SHA256
    assert fingerprint.md5 == hashlib.md5(BODY, usedforsecurity=False).digest()
    assert fingerprint.size_bytes == len(BODY)
    assert spool.holds(SHA256)
    with spool.open(SHA256) as file:
        assert file.read() == BODY
    assert [path.name for path in (tmp_path / "spool").iterdir()] == [SHA256.hex()]


def test_only_its_owner_may_look_in(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "spool"
    put(Spool(directory), BODY)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / SHA256.hex()).stat().st_mode) == 0o600


def test_what_tables_leave_that_are_not_configured_any_more_is_removed(tmp_path: Path) -> None:
    """There may be rows of a database in it."""
    for name in ("labels", "labels.sorting", "_closure", "boxes", "boxes.sorting", "labels-sorting"):
        put(Spool(tmp_path / "tables" / name), BODY)
    sweep_spools(tmp_path, ["labels"])
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["_closure", "labels", "labels.sorting"]
    sweep_spools(tmp_path / "new", [])


def test_a_directory_left_open_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    put(Spool(tmp_path), BODY)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert put(spool, BODY) == put(spool, BODY)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_was_not_kept_is_gone(tmp_path: Path) -> None:
    with Spool(tmp_path).new_file() as path:
        path.write_bytes(BODY)
    with pytest.raises(RuntimeError), Spool(tmp_path).new_file():
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    for spool in (Spool(tmp_path), Spool(tmp_path / "never-made")):
        assert not spool.holds(SHA256)
        with pytest.raises(FileNotFoundError):
            spool.open(SHA256)


def test_sweeping_leaves_what_is_still_needed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    needed, uploaded = put(spool, BODY), put(spool, b"old")
    (tmp_path / "new-crashed").write_bytes(b"half")
    (tmp_path / ".new-crashed.1234.tmp").write_bytes(b"half")
    spool.sweep([needed, b"\1" * 32])
    assert [path.name for path in tmp_path.iterdir()] == [needed.hex()]
    assert not spool.holds(uploaded)


def test_sweeping_nothing_is_fine(tmp_path: Path) -> None:
    Spool(tmp_path / "never-made").sweep([])


def test_a_full_disk_is_said_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as failure, Spool(tmp_path).new_file():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "no space left" in str(failure.value)
    assert "df -h" in failure.value.next_step
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EFBIG, errno.EACCES, errno.ENOENT])
def test_a_disk_that_fails_while_a_body_is_written_is_said(tmp_path: Path, number: int) -> None:
    """It pauses the source, and does not end the daemon."""
    with pytest.raises(JournalError, match="cannot be used") as failure, Spool(tmp_path).new_file():
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in failure.value.fact


def test_what_cannot_be_cleared_away_hides_no_error_and_the_next_step_names_what_is_there(tmp_path: Path) -> None:
    def replace_by_a_file(directory: Path) -> None:
        shutil.rmtree(directory)
        directory.write_bytes(b"")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(JournalError, match="No space left") as failure, Spool(tmp_path / "state" / "spool").new_file():
        replace_by_a_file(tmp_path / "state")
    assert failure.value.next_step.startswith(f"df -h {tmp_path / 'state'} ;")


def test_other_errors_of_who_writes_stay_theirs(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), Spool(tmp_path).new_file():
        raise ConnectionResetError


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="cannot be used"), Spool(tmp_path / "file").new_file():
        pass
    with pytest.raises(JournalError, match="cannot be used"):
        Spool(tmp_path).keep(tmp_path / "absent")
    with pytest.raises(JournalError, match="cannot be used"):
        Spool(tmp_path / "file").sweep([])


def test_a_file_is_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"before")
    with pytest.raises(TypeError), whole_file(path) as file:
        file.writelines([b"half", None])
    assert path.read_bytes() == b"before"
    with whole_file(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]
