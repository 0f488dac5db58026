"""Names that editors, copy tools and file systems give to what is not meant to stay. Pure.

These are left out unless an exclude pattern that begins with "!" takes them back in.
"""

from __future__ import annotations

import re

IGNORE_FILE = ".syncdignore"

_NAMES = {
    "4913": "vim's test file",
    ".DS_Store": "macOS folder settings",
    "Thumbs.db": "Windows thumbnails",
    "desktop.ini": "Windows folder settings",
    IGNORE_FILE: "syncd's own patterns",
    ".lakefs_ref.yaml": "the index file of lakectl local",
}
_BEGINNINGS = {
    ".#": "an editor's lock",
    "~$": "an office program's lock",
    ".~lock.": "an office program's lock",
    "._": "macOS metadata",
    ".goutputstream-": "a file being saved",
    ".fuse_hidden": "a deleted file still in use",
    ".nfs0": "a deleted file still in use",
}
_ENDINGS = {
    "~": "an editor's backup",
    ".swp": "vim's swap file",
    ".swo": "vim's swap file",
    ".swx": "vim's swap file",
    ".tmp": "a temporary file",
    ".temp": "a temporary file",
    ".part": "a partial download",
    ".partial": "a partial copy",
    ".filepart": "a partial copy",
    ".crdownload": "a partial download",
    ".aria2": "a partial download",
}
_DIRECTORIES = {
    ".rsync-partial": "rsync's partial copies",
    ".~tmp~": "rsync's delayed updates",
    ".git": "a Git repository",
    "lost+found": "the file system's own",
    ".Trashes": "a waste bin",
    "@eaDir": "thumbnails of a storage device",
}
# ".name.ext.aB3x9Z": rsync's own while it copies. One capital or digit, so that ".my.conf.backup" is not one.
_RSYNC = re.compile(r"\..+\.[^.]+\.(?=.*[A-Z0-9])[A-Za-z0-9]{6}", re.DOTALL)

_ANY_BEGINNING, _ANY_ENDING = tuple(_BEGINNINGS), tuple(_ENDINGS)


def temporary_file(name: str) -> str | None:
    """Return what a file of this name is, or None if it is none of these."""
    if name in _NAMES:
        return _NAMES[name]
    if name.endswith(_ANY_ENDING):
        return next(meaning for ending, meaning in _ENDINGS.items() if name.endswith(ending))
    if name.startswith(_ANY_BEGINNING):
        return next(meaning for beginning, meaning in _BEGINNINGS.items() if name.startswith(beginning))
    if name.startswith("#") and name.endswith("#"):
        return "an editor's unsaved changes"
    if name.startswith(".") and _RSYNC.fullmatch(name):
        return "rsync's copy under way"
    return None


def foreign_directory(name: str) -> str | None:
    """Return what a directory of this name is, or None if it is none of these."""
    if name.startswith(".Trash-"):
        return "a waste bin"
    return _DIRECTORIES.get(name)
