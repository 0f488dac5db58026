"""Which paths are synced, and the rule that is named for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.sources.folder import verdicts
from syncd.sources.ignore import BadPatternError, Rules
from syncd.sources.settings import FolderSettings
from syncd.sources.temporary_names import temporary_file
from tests.support.watching import write

IMAGES = ["*.jpg", "*.png"]


@pytest.mark.parametrize(
    ("path", "kept", "rule"),
    [
        ("a.jpg", True, 'include pattern "*.jpg"'),
        ("x/y/a.png", True, 'include pattern "*.png"'),
        (".jpg", True, 'include pattern "*.jpg"'),
        ("album.jpg/notes.txt", True, 'include pattern "*.jpg"'),  # as .gitignore has it
        ("a.JPG", False, "not included by source.include"),
        ("a.txt", False, "not included by source.include"),
        ("a.bak.jpg", False, 'exclude pattern "*.bak.jpg"'),
        ("drafts/x/a.jpg", False, '.syncdignore line 2: "drafts/"'),
        ("old/a.jpg", False, 'exclude pattern "/old/"'),
        ("x/old/a.jpg", True, 'include pattern "*.jpg"'),
        ("private/keep/a.jpg", True, 'include pattern "*.jpg"'),
        ("private/a.jpg", False, '.syncdignore line 3: "private/*"'),
        ("._a.jpg", False, "built-in: macOS metadata"),
        ("lost+found/a.jpg", False, "built-in: the file system's own"),
        (".Trash-1000/a.jpg", False, "built-in: a waste bin"),
        (".~tmp~/a.jpg", False, "built-in: rsync's delayed updates"),
    ],
)
def test_each_path_has_a_verdict_and_the_rule_that_gives_it(path: str, *, kept: bool, rule: str) -> None:
    rules = Rules(IMAGES, ["*.bak.jpg", "/old/"], ["# ours", "drafts/", "private/*", "!private/keep/"])
    found = rules.verdict(path)
    assert (found.kept, found.rule) == (kept, rule)
    assert rules.concerns(path) == kept


@pytest.mark.parametrize(
    "include", [["*"], ["**"], ["*.jpg", "a/**"], ["!*.png", "*.jpg"], ["photos/"], ["*.jp[ge]"], ["*.jpg", "*.tmp"]]
)
def test_the_fast_way_agrees_with_the_patterns(include: list[str]) -> None:
    rules = Rules(include, [])
    for path in ("a.jpg", "a/b.txt", "photos/x/y.png", "b.jpe", "x.png", "a.jpg/c", "d/.jpg", "n\nm.jpg", "é.jpg"):
        found = rules.verdict(path)
        assert rules.concerns(path) == found.kept
        assert found.rule


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg~", ".#a.jpg", "#a.jpg#", ".a.jpg.swp", "4913", "a.tmp", "a.part", "a.crdownload", "a.filepart",
        ".a.jpg.Xy12Zq", ".nfs000000000abc", ".DS_Store", "Thumbs.db", ".lakefs_ref.yaml", ".syncdignore",
        ".goutputstream-X", "~$a.doc", ".~lock.a.csv#", "a.jpg.partial", ".fuse_hidden0001",
    ],
)  # fmt: skip
def test_temporary_names_are_left_out_unless_taken_back_in(name: str) -> None:
    assert temporary_file(name)
    assert not Rules(["*"], []).keeps(name)
    assert Rules(["*"], []).verdict(name).rule.startswith("built-in: ")
    assert Rules(["*"], ["!" + name.replace("#", r"\#")]).keeps(name)


@pytest.mark.parametrize("name", ["a.jpg", "part", "tmp.jpg", ".hidden.jpg", ".my.conf.backup", "x#", "a~b", "5913"])
def test_ordinary_names_are_not_temporary(name: str) -> None:
    assert temporary_file(name) is None
    assert Rules(["*"], []).keeps(name)


@pytest.mark.parametrize("pattern", ["!", "\\", "[a", "/"])
def test_what_is_no_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(BadPatternError, match="is not a pattern"):
        Rules(["*"], [pattern])
    with pytest.raises(BadPatternError, match="include pattern"):
        Rules([pattern], [])
    with pytest.raises(BadPatternError, match="syncdignore line 3"):
        Rules(["*"], [], ["", "# fine", pattern])


def test_directories_that_are_left_out_are_not_entered() -> None:
    rules = Rules(IMAGES, ["cache/"], ["/raw"])
    assert rules.enters("a/b/")
    assert not rules.enters("a/cache/")
    assert not rules.enters("a/cache/b/")
    assert not rules.enters("raw/")
    assert rules.wanted("a/")
    assert rules.wanted(".syncdignore")
    assert not rules.wanted("cache/")
    assert not rules.wanted("a.txt")


def test_explain_reads_the_folders_own_patterns(tmp_path: Path) -> None:
    write(tmp_path / ".syncdignore", b"\xef\xbb\xbf*.bad.jpg\r\n")
    settings = FolderSettings(root=tmp_path, include=IMAGES)
    assert verdicts(settings)("x.bad.jpg").rule == '.syncdignore line 1: "*.bad.jpg"'
    assert verdicts(settings)("x.jpg").kept
