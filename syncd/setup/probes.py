"""A look at the folder and the table, and what is said of them."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.config import DEFAULT_INCLUDE, TableSettings, rules
from syncd.config.credentials import UnfitSecretError, below_trusted_folder, read_secret
from syncd.doctor import tables
from syncd.presence import expanded
from syncd.setup.questions import SetupError
from syncd.sources import tree
from syncd.sources.ignore_file import load_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.sources.ignore import Rules

MOST_COUNTED, COUNT_S = 10_000, 2.0


def absolute(text: str) -> Path:
    """Return the path that a person means, ~ and all."""
    return Path(os.path.abspath(expanded(text)))  # noqa: PTH100  # "..", but not symlinks, is taken out


@dataclass(frozen=True, slots=True)
class Count:
    """How many images a folder holds, as far as it was looked through."""

    images: int
    unreadable: int  # images and folders that this user may not read
    complete: bool


def folder(text: str, say: Callable[[str], None]) -> Path:
    """Look at the folder of images and return its path.

    Raises:
        SourceUnavailableError: It is not there, or cannot be listed.
        SetupError: None was named.
    """
    if not text.strip():
        raise SetupError("No folder was named", next_step="name the folder that holds the images")
    root = absolute(text)
    with tree.open_root(root) as fd:
        rules, fault = load_rules(fd, DEFAULT_INCLUDE, (), None)
    if fault is not None:
        say(f"attention: {root / '.syncdignore'}: {fault.detail}")
    found = count(root, rules)
    images = f"{found.images:,} image{'' if found.images == 1 else 's'}"
    say(f"folder {root}: {'' if found.complete else 'at least '}{images}")
    if found.unreadable:
        say(f"attention: {found.unreadable:,} files or folders in it cannot be read by this user; see syncd doctor")
    return root


def count(root: Path, rules: Rules, *, most: int = MOST_COUNTED, limit_s: float = COUNT_S) -> Count:
    """Count the images below a folder, up to ``most`` of them and for ``limit_s`` seconds. Blocks."""
    images = unreadable = 0
    stack, until = [""], time.monotonic() + limit_s
    while stack:
        directory = stack.pop()
        try:
            entries = os.scandir(root / directory)
        except OSError:
            unreadable += 1
            continue
        with entries:
            for entry in entries:
                path = directory + entry.name
                if images >= most or time.monotonic() > until:
                    return Count(images, unreadable, complete=False)
                if entry.is_dir(follow_symlinks=False):
                    stack += [path + "/"] if rules.enters(path + "/") else []
                elif entry.is_file(follow_symlinks=False) and rules.keeps(path):
                    images += 1
                    unreadable += not os.access(entry.path, os.R_OK, effective_ids=True)
    return Count(images, unreadable, complete=True)


def csv_table(text: str, key: str, image_column: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Look at a CSV file and return its keys of the configuration.

    Raises:
        SetupError: It cannot be read, or a column is not there.
    """
    path = absolute(text)
    keys = {"name": table_name(path.stem), "csv": str(path), "key": key}
    return _seen(keys | ({"image_column": image_column} if image_column else {}), say)


def database_table(
    url_file: str, table: str, key: str, image_column: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Look at a table of a database and return its keys of the configuration.

    Raises:
        SyncdError: It cannot be read, or a column is not there.
    """
    path = absolute(url_file)
    try:
        url = read_secret(path, any_mode=below_trusted_folder(path, os.environ))
    except FileNotFoundError:
        raise SetupError(f"{path} does not exist", next_step="put the database's address there, chmod 600") from None
    except UnfitSecretError as error:
        raise SetupError(f"{path} {error}") from None
    keys = {"name": table_name(table.rpartition(".")[2]), "url_file": str(path), "table": table, "key": key}
    return _seen(keys | ({"image_column": image_column} if image_column else {}), say, url=url)


def table_name(text: str) -> str:
    """Return a name for the published table: letters, digits, _ and - of the text; none that syncd uses itself."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "table"
    return f"{name}-table" if name.lower() in rules.OWN_NAMES else name


def _seen(keys: dict[str, Any], say: Callable[[str], None], **more: Any) -> dict[str, Any]:
    if not keys["key"].strip():
        raise SetupError("No key column was named", next_step="name the column whose value names a row")
    finding = tables.look(TableSettings(**keys, **more))
    if finding.level == "fail":
        raise SetupError(finding.fact, next_step=finding.fix)
    say(f"table {keys['name']}: {finding.fact}")
    if finding.level == "warn":
        say(f"attention: {finding.fix}")
    return keys
