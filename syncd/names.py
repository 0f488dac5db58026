"""The names lakeFS accepts for repositories, branches and tags. Pure.

Source: lakeFS, pkg/graveler/validate.go. Checked here since the server's own answer often does not say what is
wrong, and for some names comes after the effect: a repository is created even with an impossible default branch.
"""

from __future__ import annotations

import re

_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
_NAMESPACE = re.compile(r"(s3|gs|https?|mem|local|transient)://.+")
MAX_TAG_LENGTH = 255  # our own bound; lakeFS has none


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


def tag_faults(tag: str) -> list[str]:
    """Return every reason why a tag cannot be used; empty when it can.

    Follows lakeFS (ValidateTagID), and adds what it would create and then never find again
    (source: pkg/graveler/ref/parse_ref.go).
    """
    if not tag:
        return ["is empty"]
    faults = []
    if tag == "@":
        faults.append('must not be "@"')
    if tag.endswith("."):
        faults.append('must not end with "."')
    if tag.endswith(".lock"):
        faults.append('must not end with ".lock"')
    faults.extend(f'must not contain "{part}"' for part in ("..", "/", "@{") if part in tag)
    faults.extend(f'must not contain "{char}"' for char in "^:?*[\\" if char in tag)
    if any(char.isspace() or not char.isprintable() for char in tag):
        faults.append("must not contain spaces, line breaks or control characters")
    if tag != "@" and "@{" not in tag and "@" in tag:
        faults.append('must not contain "@": lakeFS could not look the tag up')
    faults.extend(f'must not contain "{char}": lakeFS could not look the tag up' for char in "~$" if char in tag)
    if re.fullmatch("[0-9a-fA-F]{64}", tag):
        faults.append("must not look like a commit id")
    if len(tag) > MAX_TAG_LENGTH:
        faults.append(f"must not be longer than {MAX_TAG_LENGTH} characters")
    return faults
