"""`syncd snapshot` while others write: everything in place before the call is in it, and nothing deleted before."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

import pytest

from syncd.model import IMAGES
from tests.support.comparing import assert_same, folder
from tests.support.writers import NotAllowedError, Writer, assert_allowed

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tests.support.comparing import Reader
    from tests.support.daemon import Dataset
    from tests.support.figures import Figures

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

KEPT = "kept.png"
COMMAND_EVERY = 25  # so many calls through the socket, then one by the command itself


@contextlib.contextmanager
def writing(dataset: Dataset, rng: random.Random, count: int) -> Iterator[list[Writer]]:
    """Change the folder from so many threads."""
    (dataset.root / KEPT).touch()  # so that the folder is never empty, which would hold deletions
    writers = [Writer(dataset.root, number, rng.getrandbits(32)) for number in range(count)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.stop()


def call_and_check(dataset: Dataset, reader: Reader, writers: list[Writer], *, by_command: bool) -> int:
    """Take a snapshot and hold it against the writers' record; return how many paths left no choice."""
    called_at = time.monotonic()
    if by_command:
        done = dataset.command("snapshot", "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
    else:
        answer = dataset.snapshot()
    answered_at = time.monotonic()
    assert answer["left_out"] == []
    assert not answer["held"]
    found = reader.objects(answer["tag"])
    found.pop(IMAGES + KEPT, None)
    try:
        return assert_allowed(found, writers, called_at, answered_at)
    except NotAllowedError as error:
        known = dataset.command("explain", error.key.removeprefix(IMAGES), "--json").stdout
        raise AssertionError(f"{error}\n{known}") from None


@pytest.mark.slow
@pytest.mark.parametrize(("writer_count", "in_ci"), [(2, 50), (3, 50), (4, 100)])
def test_a_snapshot_holds_what_was_in_place_before_the_call(
    dataset: Dataset,
    reader: Reader,
    rng: random.Random,
    figures: Figures,
    times: Callable[[int, int], int],
    writer_count: int,
    in_ci: int,
) -> None:
    """P1, P2: exactly, while two to four threads write."""
    calls = times(in_ci, 10 * in_ci)
    dataset.start()
    certain = 0
    with writing(dataset, rng, writer_count) as writers:
        for number in range(1, calls + 1):
            by_command = number % COMMAND_EVERY == 0
            certain += call_and_check(dataset, reader, writers, by_command=by_command)

    assert certain > calls * 10, "the check left nearly every path a choice: it proved nothing"
    assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))
    figures(f"calls for a snapshot while {writer_count} write", calls, paths_without_choice=certain, wrong=0)


def test_a_snapshot_is_as_complete_without_events(dataset: Dataset, reader: Reader, rng: random.Random) -> None:
    """P1 with polling: only listings tell of changes."""
    dataset.configure(source={"watch": "polling"})
    dataset.start()
    with writing(dataset, rng, 2) as writers:
        for _ in range(12):
            call_and_check(dataset, reader, writers, by_command=False)

    assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))


def test_a_snapshot_right_after_a_change_holds_it(dataset: Dataset, reader: Reader, rng: random.Random) -> None:
    """P1: no pause between the change and the call, and nothing else that would wake the daemon."""
    dataset.start()
    for number in range(15):
        match number % 5:
            case 0:
                changed = dataset.root / f"new-{number}/deep/er/one.png"
                changed.parent.mkdir(parents=True)
                changed.write_bytes(rng.randbytes(500))
            case 1:
                changed.write_bytes(rng.randbytes(500))
            case 2:
                changed = changed.rename(changed.with_name(f"renamed-{number}.png"))
            case 3:
                changed.parent.rename(dataset.root / f"moved-{number}")
                changed = dataset.root / f"moved-{number}" / changed.name
            case _:
                changed.unlink()
                (dataset.root / "kept.png").write_bytes(rng.randbytes(10))
        assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))
