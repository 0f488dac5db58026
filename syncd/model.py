"""The facts every room of syncd agrees on. Standard library only, no I/O, no clock.

A *key* is a path below the configured prefix on a branch: ``images/cats/1.jpg``, ``tables/labels.csv``.
It is "/"-separated, has no leading "/", and is valid UTF-8. The store puts the prefix in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

IMAGES = "images/"  # keys of image files begin with it
TABLES = "tables/"  # keys of table files begin with it
CLOSURE_LIST = "_closure.json"  # below tables/NAME/: what of the table does not fit, which syncd itself writes

SHA256_BYTES = 32
MAX_KEY_BYTES = 1024  # of the whole path on the branch, prefix included (source: lakeFS, pkg/graveler/validate.go)


def split_key(key: str) -> tuple[str, str]:
    """Return ``(directory, name)`` of a key; the directory ends with "/", or is "" at the top."""
    directory, slash, name = key.rpartition("/")
    return directory + slash, name


def source_of(key: str) -> str:
    """Return the name of the source a key belongs to: "images", or the table's name."""
    if key.startswith(IMAGES):
        return "images"
    return key.removeprefix(TABLES).partition("/")[0].removesuffix(".csv")


@dataclass(frozen=True, slots=True)
class Signature:
    """What ``lstat`` says of a file; if none of it moved, the content is taken as unchanged.

    Positional, since one is made for every file of every listing.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file's content is."""

    sha256: bytes  # 32 bytes; identifies the content
    md5: bytes  # 16 bytes; the ETag an S3 server answers for a single PUT
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What reading one path of the source showed: its content, or its absence."""

    key: str
    fingerprint: Fingerprint | None  # None: absent from the source, seen by a sound listing
    signature: Signature | None  # None exactly when absent
    observed_at: datetime  # time-zone-aware
    reason: str = ""  # how it was noticed: "event", "scan", "poll", "request"; for `syncd explain`

    def __post_init__(self) -> None:
        if (self.fingerprint is None) != (self.signature is None):
            raise ValueError(f"{self.key}: a fingerprint and a signature come together")
        if self.observed_at.tzinfo is None:
            raise ValueError(f"{self.key}: times must carry a time zone (use UTC)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableObject:
    """One object of a published table: the CSV file, a part, or what describes them."""

    key: str  # "tables/labels.csv", "tables/labels/part-….parquet"
    fingerprint: Fingerprint
    signature: Signature  # of the file it was read from; size alone for what syncd wrote itself
    rows: int = 0  # of the source that it stands for
    hidden: int = 0  # of these that it leaves out, since their images are not there
    rows_digest: bytes = b""  # of these rows, whatever their encoding; b"" where it holds none


@dataclass(frozen=True, slots=True)
class PairedLoss:
    """How much less of a table fits together with the images of the source, by what its rows say alone.

    Images that came or went meanwhile are the same to both versions. Negative: it is more.
    """

    rows: int  # that name an image of the source
    images: int  # of the source that some row names, those aside that are withheld anyway
    of_images: int  # that are not withheld now
    of_rows: int | None = None  # of the last version, those that name one; None: not counted


@dataclass(frozen=True, slots=True)
class RowImage:
    """The image that one row of a table names. Positional, since one is made for every row."""

    row_key: str
    part: str  # which piece of the table holds the row: rows of a piece are compared with those it held before
    image: str | None  # key of the image, "images/cats/1.jpg"; None: the row names none
    shown: bool = True  # False: what is published leaves the row out


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVersion:
    """One accepted version of a table, as a whole."""

    name: str
    objects: tuple[TableObject, ...]  # all it is published as, sorted by key
    rows: int
    columns: int
    schema: str  # JSON, as published; "" for a CSV file as it is
    observed_at: datetime  # time-zone-aware
    reason: str  # as in Observation


@dataclass(frozen=True, slots=True)
class KnownObject:
    """One object of a table, as last accepted."""

    object: TableObject
    staged: bool  # the staging branch holds this very content: it need not be sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTable:
    """What is known of a table's last accepted version."""

    name: str
    objects: tuple[KnownObject, ...]  # all it is published as, sorted by key
    rows: int
    columns: int
    schema: str
    keeps_rows: bool  # which image each row names is known; False: a version with rows begins with all of them
    read_at: datetime  # when it was accepted


class ProblemCode(StrEnum):
    """Why a path of the source is not synced. Stable words: scripts compare them."""

    UNREADABLE = "unreadable"  # permissions, I/O error
    NAME_NOT_UTF8 = "name-not-utf8"
    NAME_CONTROL_CHARACTER = "name-control-character"
    NAME_TOO_LONG = "name-too-long"
    NAME_RESERVED = "name-reserved"  # below _lakefs_actions/ or _lakefs/
    SYMLINK = "symlink"
    NOT_REGULAR = "not-regular"  # FIFO, socket, device
    TOO_LARGE = "too-large"
    NEVER_SETTLES = "never-settles"
    REFUSED = "refused"  # lakeFS refused the object
    BAD_TABLE = "bad-table"  # the table cannot be accepted; the last good version stays
    HELD = "held"  # a person must agree to it first; the last good version stays
    SOURCE_UNAVAILABLE = "source-unavailable"  # the root or the table file is gone or unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing of the source that is not synced, and what to do about it (promise P8)."""

    source: str  # "images", or the table's name
    path: str  # as a person would find it: relative to the root, surrogate escapes shown as \xNN
    code: ProblemCode
    detail: str  # the fact and the next step, one sentence each
    since: datetime


class Trigger(StrEnum):
    """Why a snapshot was made."""

    QUIET = "quiet"
    MAX_WAIT = "max_wait"
    MAX_CHANGES = "max_changes"
    SCHEDULE = "schedule"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChange:
    """One key whose source no longer matches the staging branch.

    Holds what was observed, never what to do about it: the planner decides that afresh each time.
    """

    key: str
    fingerprint: Fingerprint | None  # what the source holds; None: gone from the source
    staged: bytes | None  # SHA-256 on the staging branch; None: absent there; b"": not known
    staged_bytes: int | None = None  # its size; None where there is no content, or it is not known
    attempts: int = 0  # how often in a row lakeFS has refused it
    revision: int  # of the observation since which the two differ; observations are numbered as they come
    waiting_since: datetime  # when the source first differed from the newest snapshot
    withheld: bool = False  # the source holds it, and no row names it: it is to leave the branch
    agreed: bool = False  # a person agreed to its deletion, or it was moved


DELETIONS_COUNT_FOR = timedelta(hours=1)  # what went within it counts as well: a large loss may come in small pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionLimits:
    """How much may go at once before a person is asked; of images, and of a table's rows."""

    max_delete_percent: float = 25.0
    max_delete_count: int = 0  # 0: no limit
    min_objects: int = 20  # the percentage counts from so many on

    def beyond(self, gone: int, before: int) -> bool:
        """Return whether so many of so many that were there before are too much."""
        if self.max_delete_count and gone > self.max_delete_count:
            return True
        return before >= self.min_objects and gone * 100 > self.max_delete_percent * before


FileRow = tuple[str, int, int, int, int]  # of a listing: name, mtime_ns, ctime_ns, size_bytes, inode


@dataclass(frozen=True, slots=True)
class Agreed:
    """A directory whose listing showed exactly what is known of it."""

    directory: str  # "images/a/"
    digest: bytes  # of all that the listing showed, and of the rules it was judged by
    kept: bytes  # of the files that are synced


@dataclass(frozen=True, slots=True, kw_only=True)
class Absences:
    """Images that are gone from the source while the newest snapshot holds them, and that nobody agreed on."""

    gone: int = 0
    waiting: int = 0  # of them, those still on the staging branch
    recent: int = 0  # deleted by the snapshots of the last hour; while held, at least as many as when it began
    images: int = 0  # in the newest snapshot
    held: bool = False  # their deletion waits for a person
    judged_at: datetime | None = None  # when that was judged last, while held
    revision: int = 0  # and up to which observation

    def beyond(self, limits: DeletionLimits) -> bool:
        """Return whether a person is to be asked."""
        return self.gone > 0 and limits.beyond(self.gone + self.recent, self.images + self.recent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One published commit and its tag, as the journal and `syncd log` know it."""

    tag: str
    commit_id: str  # of the publish branch; what the tag points at
    created_at: datetime
    trigger: Trigger
    added: int
    changed: int
    deleted: int
    images: int  # image objects in the snapshot
    size_bytes: int  # of all its objects
    digest: str  # 64 hex digits over all keys and contents, whatever their order
    uri: str  # lakefs://repository/tag/prefix
    removed_at: datetime | None = None  # when retention removed its pin; None: it is kept
