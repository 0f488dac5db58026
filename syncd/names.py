"""The names lakeFS accepts for repositories, branches and tags. Pure.

Source: lakeFS, pkg/graveler/validate.go. Checked here since the server's own answer often does not say what is
wrong, and for some names comes after the effect: a repository is created even with an impossible default branch.
"""

from __future__ import annotations

import re

_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
_NAMESPACE = re.compile(r"(s3|gs|https?|mem|local|transient)://.+")
_NOT_IN_TAGS = ("..", "@{", "/", "^", ":", "?", "*", "[", "\\")
_NOT_IN_REFERENCES = ("~", "$", "@")  # allowed in a tag, but such a tag cannot be named in a request


def repository_fault(name: str) -> str | None:
    """Return what is wrong with a repository's name, or None."""
    if _REPOSITORY.fullmatch(name):
        return None
    return "a repository name is 3 to 63 lower-case letters, digits and dashes, and does not begin with a dash"


def namespace_fault(namespace: str) -> str | None:
    """Return what is wrong with a storage namespace, or None. Whether it can be used, only the server knows."""
    if _NAMESPACE.fullmatch(namespace):
        return None
    return "a storage namespace begins with s3://, gs://, https:// or local://, and names a bucket or folder"


def branch_fault(name: str) -> str | None:
    """Return what is wrong with a branch's name, or None."""
    if _BRANCH.fullmatch(name):
        return None
    return "a branch name is letters, digits, underscores and dashes, and does not begin with a dash"


def tag_fault(tag: str) -> str | None:
    """Return what is wrong with a tag's name, or None.

    Stricter than lakeFS in one point: ``~ $ @`` are refused as well, since a tag with them cannot be read back.
    """
    if not tag:
        return "a tag's name is not empty"
    if any(character <= " " or character == "\x7f" for character in tag):
        return "a tag's name holds no spaces and no control characters"
    for forbidden in _NOT_IN_TAGS + _NOT_IN_REFERENCES:
        if forbidden in tag:
            return f"a tag's name does not hold {forbidden!r}"
    if tag.endswith((".", ".lock")):
        return 'a tag\'s name does not end with "." or ".lock"'
    return None
