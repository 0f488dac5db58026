"""Which keys syncd sends, and which it names as problems instead. Pure.

lakeFS itself takes nearly any name: spaces, any script, ``..`` as a part, a doubled, leading or trailing "/" all come
back byte for byte, and stay allowed here. Refused are only the names that do harm on the way:

- over 1,024 bytes: the server answers as if it were at fault itself, after storing the bytes, and one such key makes
  it refuse a whole delete request;
- a newline: a delete request with it removes another key, the one that ends before the newline;
- other control characters: listings in the S3 protocol cannot show them;
- below ``_lakefs_actions/``: lakeFS runs what is there, and a faulty file there makes every commit fail;
  ``_lakefs/`` is the server's own, ``.lakefs_ref.yaml`` the index file of ``lakectl local``.
"""

from __future__ import annotations

import unicodedata

from syncd.model import MAX_KEY_BYTES, ProblemCode

RESERVED_DIRECTORIES = frozenset({"_lakefs_actions", "_lakefs"})  # at any depth: a prefix may move them to the top
RESERVED_NAMES = frozenset({".lakefs_ref.yaml"})

_WORDS = {
    ProblemCode.NAME_NOT_UTF8: "The name is not valid UTF-8. Rename it",
    ProblemCode.NAME_CONTROL_CHARACTER: "The name holds a newline or another control character. Rename it",
    ProblemCode.NAME_TOO_LONG: f"The path on the branch is longer than {MAX_KEY_BYTES:,} bytes. Shorten it",
    ProblemCode.NAME_RESERVED: "The name is reserved: lakeFS would act on it. Move it elsewhere or exclude it",
    ProblemCode.REFUSED: "The path is empty",
}


def is_folder_marker(key: str) -> bool:
    """Whether an object is what some tools make for a folder: no file, and none of syncd's."""
    return key.endswith("/")


def key_fault(key: str) -> ProblemCode | None:
    """Return why this key must not be sent, or None if it is fine.

    Args:
        key: The whole path on the branch, prefix included. Bytes of a file name that are not UTF-8 are expected as
            surrogate escapes, as ``os.fsdecode`` gives them.
    """
    if key.isascii():  # the common case, without encoding anything
        length_bytes = len(key)
    else:
        try:
            length_bytes = len(key.encode())
        except UnicodeEncodeError:
            return ProblemCode.NAME_NOT_UTF8
    if not key:
        return ProblemCode.REFUSED
    if not key.isprintable() and any(unicodedata.category(character) == "Cc" for character in key):
        return ProblemCode.NAME_CONTROL_CHARACTER
    if length_bytes > MAX_KEY_BYTES:
        return ProblemCode.NAME_TOO_LONG
    if "_lakefs" in key or ".lakefs" in key:
        *directories, name = key.split("/")
        if name in RESERVED_NAMES or not RESERVED_DIRECTORIES.isdisjoint(directories):
            return ProblemCode.NAME_RESERVED
    return None


def describe_key_fault(code: ProblemCode) -> str:
    """Return the fact and the next step for a code of ``key_fault``, as the detail of a ``Problem``."""
    return _WORDS[code]
