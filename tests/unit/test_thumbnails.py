"""Pictures of images that come from strangers: what one breaks is a child, and the next one is shown all the same."""

from __future__ import annotations

import asyncio
import hashlib
import io
import resource
import sqlite3
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from syncd.thumbnails import maker as making
from syncd.thumbnails import thumbnails as keeping
from syncd.thumbnails import wire
from syncd.thumbnails.kept import Kept
from syncd.thumbnails.maker import Maker, Picture
from syncd.thumbnails.sheet import Tile, contact_sheet
from syncd.thumbnails.thumbnails import MOST_IMAGE_BYTES, SMALL, Thumbnails
from tests.support.gallery import bomb


def image(mode: str = "RGB", size: tuple[int, int] = (400, 300), form: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new(mode, size, 1).save(written, form)
    return written.getvalue()


def broken(header: bytes, body: bytes) -> Callable[[str], Awaitable[Process]]:
    """Return what starts a child that answers its first request so."""
    says = f"""import sys
sys.stdin.buffer.read({wire.REQUEST.size + 1})
sys.stdout.buffer.write({header!r} + {body[:1]!r} * {len(body)})
sys.stdout.buffer.flush()
sys.stdin.buffer.read()
"""

    async def start(_module: str) -> Process:
        return await asyncio.create_subprocess_exec(sys.executable, "-c", says, stdin=PIPE, stdout=PIPE)

    return start


@pytest.fixture
async def maker() -> AsyncIterator[Maker]:
    async with Maker() as made:
        yield made


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
async def test_every_kind_of_pixel_is_shown(maker: Maker, mode: str) -> None:
    made = await maker.make(image(mode), SMALL)
    assert made.shown, made.why_not
    assert (made.width, made.height) == (400, 300)
    with Image.open(io.BytesIO(made.body)) as shown:
        assert shown.format == {"image/png": "PNG", "image/jpeg": "JPEG"}[made.content_type]
        assert max(shown.size) == SMALL


@pytest.mark.parametrize("form", ["JPEG", "GIF", "WEBP", "BMP", "TIFF"])
async def test_every_usual_format_is_shown(maker: Maker, form: str) -> None:
    assert (await maker.make(image(form=form), SMALL)).shown


async def test_where_pillow_is_missing_that_is_said(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "NEEDED", "nothing_of_that_name")
    assert "syncd[web]" in (await maker.make(image(), SMALL)).why_not


async def test_few_pixels_are_shown_as_squares(maker: Maker) -> None:
    made = await maker.make(image("L", (8, 8)), SMALL)
    with Image.open(io.BytesIO(made.body)) as shown:
        assert shown.size == (128, 128)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "no image"),
        (image()[:200], "cannot be decoded"),
        (bomb(20_000, 20_000), "pixels"),
    ],
)
async def test_what_cannot_be_shown_says_why_and_the_next_is_shown(maker: Maker, content: bytes, why: str) -> None:
    made = await maker.make(content, SMALL)
    assert not made.shown
    assert why in made.why_not
    assert (await maker.make(image(), SMALL)).shown


async def test_a_child_that_does_not_answer_is_ended(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await maker.make(image(), SMALL)).shown
    monkeypatch.setattr(making, "ANSWER_S", 0.0)
    assert not (await maker.make(image(), SMALL)).shown
    monkeypatch.undo()
    assert (await maker.make(image(), SMALL)).shown


async def test_a_child_that_died_is_started_again(maker: Maker) -> None:
    assert (await maker.make(image(), SMALL)).shown
    maker._child.kill()  # type: ignore[union-attr]
    shown = [(await maker.make(image(), SMALL)).shown for _ in range(2)]
    assert shown[-1]


@pytest.mark.parametrize(
    ("kind", "length"), [(wire.PNG, (16 << 20) + 1), (wire.JPEG, (16 << 20) + 1), (wire.NOT, 1_025), (b"X", 1)]
)
async def test_a_child_that_answers_with_what_is_no_answer_is_ended(kind: bytes, length: int) -> None:
    """What a hostile image broke may say that gigabytes follow."""
    async with Maker(broken(wire.ANSWER.pack(kind, length, 1, 1), b"x" * length)) as maker:
        made = await maker.make(b"x", SMALL)
        assert (made.shown, made.why_not) == (False, making.ENDED)


@pytest.mark.parametrize("idle", [True, False])
async def test_a_child_that_says_what_nobody_asked_for_is_ended_all_the_same(idle: bool) -> None:
    async with asyncio.timeout(30):
        async with Maker(broken(wire.ANSWER.pack(wire.PNG, 1, 1, 1), b"x" * (1 << 20))) as maker:
            assert (await maker.make(b"x", SMALL)).shown
            while maker._child._transport.get_pipe_transport(1).is_reading():  # type: ignore[union-attr]
                await asyncio.sleep(0.01)  # until it has said more than is taken in unread
            if idle:
                maker._kill()


async def test_an_idle_child_that_is_being_ended_is_asked_for_nothing(maker: Maker) -> None:
    assert (await maker.make(image(), SMALL)).shown
    maker._kill()  # as its time comes
    assert (await maker.make(image(), SMALL)).shown


async def test_that_the_child_ended_is_no_lasting_fault_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, fetched = image(), 0

    async def fetch() -> bytes:
        nonlocal fetched
        fetched += 1
        return content

    async with Thumbnails(tmp_path / "pictures.db") as thumbnails:
        monkeypatch.setattr(making, "ANSWER_S", 0.0)
        for _ in range(2):
            assert (await thumbnails.of(b"a", len(content), SMALL, fetch)).why_not == making.ENDED
        assert fetched == 1, "it is not tried at every look"
        monkeypatch.setattr(keeping, "MOST_ENDED", 1)
        assert (await thumbnails.of(b"b", len(content), SMALL, fetch)).why_not == making.ENDED
        assert (await thumbnails.of(b"a", len(content), SMALL, fetch)).why_not == making.ENDED
        assert fetched == 3, "few are remembered"
        monkeypatch.undo()
        monkeypatch.setattr(keeping, "ENDED_S", 0.0)
        assert (await thumbnails.of(b"a", len(content), SMALL, fetch)).shown
    async with Thumbnails(tmp_path / "pictures.db") as thumbnails:
        assert (await thumbnails.of(b"b", len(content), SMALL, fetch)).shown, "another daemon tries again"


async def test_each_is_made_once(tmp_path: Path) -> None:
    content, fetched = image(), 0
    sha256 = hashlib.sha256(content).digest()

    async def fetch() -> bytes:
        nonlocal fetched
        fetched += 1
        return content

    for _ in range(2):
        async with Thumbnails(tmp_path / "pictures.db") as thumbnails:
            first = await thumbnails.of(sha256, len(content), SMALL, fetch)
            assert await thumbnails.of(sha256, len(content), SMALL, fetch) == first
    assert fetched == 1
    async with Thumbnails(tmp_path / "pictures.db") as thumbnails:
        assert "more than" in (await thumbnails.of(b"other", MOST_IMAGE_BYTES + 1, SMALL, fetch)).why_not
    assert fetched == 1


def test_what_is_kept_is_bounded_and_the_longest_unused_goes(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "pictures.db", most_bytes=12_000)
    for number in range(30):
        kept.put(b"%d" % number, SMALL, Picture("image/png", b"x" * 90, 1, 1))
        assert kept.get(b"0", SMALL) is not None
    assert kept.get(b"1", SMALL) is None
    assert kept.get(b"29", SMALL) is not None
    kept.close()
    with sqlite3.connect(tmp_path / "pictures.db") as database:
        assert database.execute("SELECT sum(length(body) + 1024) FROM picture").fetchone()[0] <= 12_000


def test_it_is_closed_under_nobody(tmp_path: Path) -> None:
    """A thread asks on after whoever waited for it was cancelled; Python does not survive a close under it."""
    picture = Picture("image/png", bytes(1000), 1, 1)

    def ask(kept: Kept, begun: threading.Barrier, number: int) -> None:
        begun.wait(30)
        for one in range(300):
            kept.put(bytes([number, one % 256]), 256, picture)
            assert kept.get(bytes([number, one % 256]), 256) in (picture, None)

    for attempt in range(20):
        kept, begun = Kept(tmp_path / f"{attempt}.db"), threading.Barrier(5)
        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask, kept, begun, number) for number in range(4)]
            begun.wait(30)
            time.sleep(attempt / 1000)  # so that it is closed at another moment each time
            kept.close()
            for one in asking:
                one.result()
        assert kept.get(bytes([0, 0]), 256) is None


def test_what_has_no_picture_counts_too(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "pictures.db", most_bytes=12_000)
    for number in range(30):
        kept.put(b"%d" % number, SMALL, Picture(why_not="it is no image"))
    assert kept.get(b"0", SMALL) is None
    assert kept.get(b"29", SMALL) is not None
    kept.close()


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "pictures.db"
    path.write_bytes(b"no database at all" * 1000)
    kept = Kept(path)
    kept.put(b"a", SMALL, Picture("image/png", b"x", 1, 1))
    assert kept.get(b"a", SMALL) is not None
    kept.close()


async def test_a_disk_that_takes_nothing_more_costs_no_picture(tmp_path: Path) -> None:
    content = image()

    async def fetch() -> bytes:
        return content

    async with Thumbnails(tmp_path / "pictures.db") as thumbnails:
        made = await thumbnails.of(b"a", len(content), SMALL, fetch)
        thumbnails._kept._database.execute("PRAGMA query_only = 1")  # every write fails from now on
        assert await thumbnails.of(b"a", len(content), SMALL, fetch) == made, "when it was used cannot be written"
        assert (await thumbnails.of(b"b", len(content), SMALL, fetch)).shown
        with sqlite3.connect(tmp_path / "pictures.db") as other:
            other.execute("DROP TABLE picture")
        assert (await thumbnails.of(b"a", len(content), SMALL, fetch)).shown, "nor can it be read"


@pytest.mark.parametrize("path", ["", "file/pictures.db"], ids=["no database can be opened", "no folder can be made"])
def test_without_a_file_some_are_kept_in_memory(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    kept = Kept(tmp_path / path)
    for number in range(20):
        kept.put(b"%d" % number, SMALL, Picture("image/png", b"x" * (1 << 20), 1, 1))
    assert kept.get(b"19", SMALL) is not None
    assert kept.get(b"0", SMALL) is None, "memory is scarcer than the disk"
    kept.close()
    assert (tmp_path / "file").exists()


def test_a_file_that_cannot_be_opened_now_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pictures.db"
    kept = Kept(path)
    kept.put(b"a", SMALL, Picture("image/png", b"x", 1, 1))
    kept.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        Kept(path).close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kept = Kept(path)
    assert kept.get(b"a", SMALL) is not None
    kept.close()


async def test_a_contact_sheet_holds_all_its_tiles(maker: Maker) -> None:
    made = await maker.make(image(), SMALL)
    tiles = [Tile(kind="added", name=f"{number}.png", picture=made.body) for number in range(30)]
    with Image.open(io.BytesIO(await contact_sheet(tiles))) as drawn:
        assert drawn.size == (12 * 144 + 8, 3 * 160 + 8)
