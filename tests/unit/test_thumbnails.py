"""Pictures of images that come from strangers: what one breaks is a child, and the next one is shown all the same."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from syncd.thumbnails import maker as making
from syncd.thumbnails.kept import Kept
from syncd.thumbnails.maker import Maker, Picture
from syncd.thumbnails.sheet import Tile, contact_sheet
from syncd.thumbnails.thumbnails import MOST_IMAGE_BYTES, SMALL, Thumbnails
from tests.support.gallery import bomb


def image(mode: str = "RGB", size: tuple[int, int] = (400, 300), form: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new(mode, size, 1).save(written, form)
    return written.getvalue()


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
    kept = Kept(tmp_path / "pictures.db", most_bytes=1_000)
    for number in range(30):
        kept.put(b"%d" % number, SMALL, Picture("image/png", b"x" * 90, 1, 1))
        assert kept.get(b"0", SMALL) is not None
    assert kept.get(b"1", SMALL) is None
    assert kept.get(b"29", SMALL) is not None
    kept.close()
    with sqlite3.connect(tmp_path / "pictures.db") as database:
        assert database.execute("SELECT sum(length(body)) FROM picture").fetchone()[0] <= 1_000


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "pictures.db"
    path.write_bytes(b"no database at all" * 1000)
    kept = Kept(path)
    kept.put(b"a", SMALL, Picture("image/png", b"x", 1, 1))
    assert kept.get(b"a", SMALL) is not None
    kept.close()


async def test_a_contact_sheet_holds_all_its_tiles(maker: Maker) -> None:
    made = await maker.make(image(), SMALL)
    tiles = [Tile(kind="added", name=f"{number}.png", picture=made.body) for number in range(30)]
    with Image.open(io.BytesIO(await contact_sheet(tiles))) as drawn:
        assert drawn.size == (12 * 144 + 8, 3 * 160 + 8)
