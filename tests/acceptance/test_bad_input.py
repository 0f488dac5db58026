"""What bad input gets: the fact, the likely cause and the next command; the rest goes on, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to run the daemon as another user, or to mount")


def problems(dataset: Dataset) -> dict[str, str]:
    """What status names as not synced: path to code."""
    return {problem["path"]: problem["code"] for problem in dataset.json_of("status")["problems"]}


def named(dataset: Dataset, path: str, code: str) -> None:
    seen: list[dict[str, str]] = []
    try:
        until(lambda: seen.append(problems(dataset)) or seen[-1].get(path) == code, f"{path} is named", timeout_s=10)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen[-1]}") from None


def test_odd_files_are_named_and_the_rest_flows(dataset: Dataset, reader: Reader) -> None:
    """P8: nothing is skipped in silence; one bad file never stops the rest."""
    root = os.fsencode(dataset.root)
    (dataset.root / "good.png").write_bytes(b"good")
    with open(root + b"/not-utf8-\xff.png", "wb"):  # noqa: PTH123 - a name that no Path can print
        pass
    (dataset.root / "new\nline.png").write_bytes(b"x")
    (dataset.root / "bell\a.png").write_bytes(b"x")
    (dataset.root / "_lakefs_actions").mkdir()
    (dataset.root / "_lakefs_actions/hook.yaml").write_bytes(b"name: evil")
    deep = dataset.root / Path(*["d" * 200] * 5)
    deep.mkdir(parents=True)
    (deep / ("n" * 100 + ".png")).write_bytes(b"x")
    (dataset.root / "link.png").symlink_to("/etc/passwd")
    (dataset.root / "link-to-folder").symlink_to("/etc")
    os.mkfifo(dataset.root / "pipe.png")
    (dataset.root / "large.png").write_bytes(b"x" * 2001)
    dataset.configure(upload={"max_object_bytes": 2000})
    dataset.start()
    answer = dataset.snapshot()

    assert reader.objects(answer["tag"]) == {"images/good.png": b"good"}
    found = problems(dataset)
    assert found.pop("link-to-folder", "symlink") == "symlink"
    assert {path[:30]: code for path, code in found.items()} == {
        r"not-utf8-\xff.png": "name-not-utf8",
        r"new\x0aline.png": "name-control-character",
        r"bell\x07.png": "name-control-character",
        "_lakefs_actions": "name-reserved",
        "d" * 30: "name-too-long",
        "link.png": "symlink",
        "pipe.png": "not-regular",
        "large.png": "too-large",
    }
    status = dataset.command("status").stdout
    assert "\a" not in status
    (dataset.root / "large.png").write_bytes(b"small now")
    (dataset.root / "link.png").unlink()
    assert dataset.snapshot()["added"] == 1
    assert not {"large.png", "link.png"} & problems(dataset).keys()


@needs_root
def test_files_it_may_not_read_are_named_and_keep_their_last_state(
    dataset: Dataset, reader: Reader, tmp_path: Path
) -> None:
    """P5, P8: permission lost is no deletion."""
    for name in ("a.png", "b.png", "sub/c.png"):
        (dataset.root / name).parent.mkdir(exist_ok=True)
        (dataset.root / name).write_bytes(name.encode())
    as_nobody(dataset, tmp_path)
    dataset.start()
    before = reader.objects(dataset.snapshot()["tag"])
    (dataset.root / "a.png").chmod(0)
    (dataset.root / "a.png").write_bytes(b"changed")
    (dataset.root / "sub").chmod(0)
    (dataset.root / "new.png").write_bytes(b"new")
    answer = dataset.snapshot()
    assert reader.objects(answer["tag"]) == before | {"images/new.png": b"new"}
    named(dataset, "a.png", "unreadable")
    named(dataset, "sub", "unreadable")
    (dataset.root / "a.png").chmod(0o644)
    (dataset.root / "sub").chmod(0o755)
    assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))
    assert problems(dataset) == {}


def as_nobody(dataset: Dataset, tmp_path: Path) -> None:
    """Let the daemon and the commands run without root's rights."""
    dataset.state_dir.mkdir(exist_ok=True)
    for path in (dataset.directory, dataset.state_dir, dataset.home, dataset.config, tmp_path / "lakefs-secret"):
        os.chown(path, NOBODY, NOBODY)
    for parent in dataset.directory.parents:  # pytest's folders are their maker's alone
        if parent.is_relative_to("/tmp/pytest-of-root") or parent.name.startswith("pytest-"):  # noqa: S108
            parent.chmod(0o755)
    dataset.command_prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    readable = subprocess.run([*dataset.command_prefix, "test", "-x", dataset.arguments("status")[4]], check=False)
    if readable.returncode:
        pytest.skip("the environment lies where another user cannot read it: make it elsewhere to run this test")


@pytest.mark.parametrize("emptied", ["emptied", "moved away", "a file"])
def test_a_root_that_is_gone_deletes_nothing_and_comes_back_by_itself(
    dataset: Dataset, reader: Reader, emptied: str
) -> None:
    """P5: an empty or vanished root never deletes anything; commands end with 4 and the reason."""
    for number in range(30):
        (dataset.root / f"{number}.png").write_bytes(b"%d" % number)
    dataset.start()
    before = reader.objects(dataset.snapshot()["tag"])
    aside = dataset.directory / "aside"
    dataset.root.rename(aside)  # at one moment, as an unmount does it
    if emptied == "emptied":
        dataset.root.mkdir()
    if emptied == "a file":
        dataset.root.write_bytes(b"")
    status = dataset.status_until(lambda seen: seen["state"] == "held", "it is said")
    assert str(dataset.root) in status["why"] + status["sources"][0]["reason"] + status["hold"]
    done = dataset.command("snapshot", "--timeout", "5")
    assert done.returncode in {3, 4}, done.stdout + done.stderr
    assert reader.objects("syncd-staging") == before

    if emptied == "a file":
        dataset.root.unlink()
    shutil.copytree(aside, dataset.root, dirs_exist_ok=True)
    (dataset.root / "0.png").unlink()
    dataset.status_until(lambda seen: seen["sources"][0]["complete"], "it goes on by itself")
    assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))


@pytest.mark.parametrize(("make", "words"), [(None, "is it mounted"), ("file", "not a folder")])
def test_a_root_that_never_was_is_said(dataset: Dataset, make: str | None, words: str) -> None:
    dataset.root.rmdir()
    if make:
        dataset.root.write_bytes(b"")
    done = dataset.command("sync", "--timeout", "2")
    assert done.returncode == 4
    assert str(dataset.root) in done.stderr
    assert words.rsplit(maxsplit=1)[-1] in done.stderr.lower()


def test_a_file_that_never_settles_is_left_out_by_name(dataset: Dataset, reader: Reader) -> None:
    """P1, P2: it is waited for up to --timeout, then named; the half of it that is there is not published."""
    dataset.configure(source={"settle_seconds": 0.5})
    (dataset.root / "good.png").write_bytes(b"good")
    dataset.start()
    with (dataset.root / "growing.png").open("wb") as growing:
        growing.write(b"half")
        growing.flush()
        answer = dataset.json_of("snapshot", "--timeout", "2")
        assert [left["path"] for left in answer["left_out"]] == ["growing.png"]
        assert reader.objects(answer["tag"]) == {"images/good.png": b"good"}
        growing.write(b" and whole")
    assert reader.objects(dataset.snapshot()["tag"])["images/growing.png"] == b"half and whole"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)  # the daemon may still be ending


@needs_root
def test_a_full_disk_under_the_state_directory_is_said_and_got_over(
    dataset: Dataset, reader: Reader, small_disk: Path
) -> None:
    """P4, P8: it stops taking things in, says why, and goes on when there is room again."""
    dataset.state_dir = small_disk / "state"
    dataset.configure(service={"state_dir": str(dataset.state_dir)})
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    dataset.snapshot()
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
    for number in range(300):
        (dataset.root / f"{number}.png").write_bytes(b"%d" % number)
    daemon = dataset.daemons[-1]
    until(lambda: "no space left" in daemon.log(), "the full disk is said")
    assert daemon.exit_code is None
    ballast.unlink()
    answer = until(lambda: _snapshot_of(dataset, 301), "all is in, with no human", timeout_s=60)
    assert_same(reader.objects(answer["tag"]), folder(dataset.root))


def _snapshot_of(dataset: Dataset, images: int) -> dict | None:
    done = dataset.command("snapshot", "--json", "--timeout", "5")
    if done.returncode:
        return None
    answer = dataset.json_of("log", "--limit", "1")[0]
    return answer if answer["images"] == images else None


@pytest.mark.parametrize(
    ("lakefs", "code", "words"),
    [
        ({"endpoint": "http://127.0.0.1:9"}, 5, ["127.0.0.1:9", "is lakefs running"]),
        ({"access_key_id": "AKIAWRONGWRONGWRONG"}, 3, ["access_key_id"]),
        ({"secret_access_key_file": "{wrong}"}, 3, ["access key id and secret"]),
        ({"storage_namespace": "local://taken"}, 3, ["local://taken", "storage_namespace"]),
        ({"storage_namespace": "s3://no-such-bucket/x"}, 3, ["s3://no-such-bucket/x"]),
    ],
)
def test_a_lakefs_that_does_not_take_it_is_said(
    dataset: Dataset, make_dataset, tmp_path: Path, lakefs: dict, code: int, words: list[str]
) -> None:
    if lakefs.get("storage_namespace") == "local://taken":
        other = make_dataset(name="other")
        other.configure(lakefs={"repository": f"other-{uuid.uuid4().hex[:12]}", **lakefs})
        other.command("sync", "--timeout", "1")  # it takes the namespace, unless an earlier run has
    wrong = tmp_path / "wrong-secret"
    wrong.touch(mode=0o600)
    wrong.write_text("wrong")
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.configure(lakefs={key: value.format(wrong=wrong) for key, value in lakefs.items()})
    done = dataset.command("sync", "--timeout", "2")
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr.lower() or word in done.stderr
    assert "next: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"lakefs": {"repository": "Not Allowed"}}, "lakefs.repository"),
        ({"lakefs": {"staging_branch": "a/b"}}, "lakefs.staging_branch"),
        ({"snapshot": {"tag": "v 1 {seq}"}}, "snapshot.tag"),
        ({"snapshot": {"tag": "always-the-same"}}, "snapshot.tag"),
        ({"snapshot": {"schedule": "every day"}}, "snapshot.schedule"),
    ],
)
def test_names_that_lakefs_refuses_are_refused_before_anything_starts(
    dataset: Dataset, sections: dict, words: str
) -> None:
    dataset.configure(**sections)
    done = dataset.command("run")
    assert done.returncode == 78
    assert words in done.stderr


def test_a_second_daemon_ends_at_once_and_names_the_first(dataset: Dataset) -> None:
    """P9."""
    daemon = dataset.start()
    for command in ("run", "sync"):
        done = dataset.command(command, timeout_s=20)
        assert done.returncode == 1
        assert f"process {daemon.pid}" in done.stderr
    assert daemon.exit_code is None


def test_a_state_directory_of_another_dataset_is_refused(dataset: Dataset) -> None:
    """P9."""
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.json_of("sync")
    dataset.configure(lakefs={"prefix": "elsewhere"})
    done = dataset.command("sync", "--timeout", "1")
    assert done.returncode == 1
    assert "state_dir" in done.stderr
