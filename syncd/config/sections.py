"""The sections of the configuration: each key with its bounds, and when to change it.

The descriptions are what `config/syncd.toml` and `syncd config schema` say, so they speak to the person who sets
the key.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field

from syncd.config import values

_IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp", "avif", "heic", "heif")
DEFAULT_INCLUDE = tuple(f"*.{form}" for ext in _IMAGE_EXTENSIONS for form in (ext, ext.upper()))


class Section(BaseModel):
    """What all sections share: they do not change, and a misspelt key is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    heading: ClassVar[str] = ""  # what the example file says above the section


class SourceSettings(Section):
    """The folder of images, and how it is watched."""

    heading = "The folder of images. The only section that is needed."

    root: values.AbsolutePath = Field(
        examples=["/srv/images"],
        description="The folder to watch. Relative to this file's folder, or absolute; ~ is your home. syncd only"
        " reads it.",
    )
    include: tuple[values.Pattern, ...] = Field(
        default=DEFAULT_INCLUDE,
        min_length=1,
        description="Which files are images: gitignore patterns, upper and lower case told apart. Change it for other"
        ' file types; ["*"] takes every file.',
    )
    exclude: tuple[values.Pattern, ...] = Field(
        default=(),
        description="Which files and folders to leave out, though included: gitignore patterns. A .syncdignore file in"
        " the folder does the same for those who may not edit this file.",
    )
    settle_seconds: values.Seconds = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="A file is read once it has not changed for this many seconds. Raise it if files are written"
        " slowly, with pauses.",
    )
    watch: Literal["auto", "inotify", "polling"] = Field(
        default="auto",
        description="How changes are noticed: auto uses inotify where that tells of every change, and lists everything"
        " every few seconds elsewhere: on NFS, SMB, FUSE, shared folders of virtual machines. Set inotify to watch"
        " those all the same, if nobody changes them from outside; polling to use no events anywhere.",
    )
    rescan_seconds: values.Seconds = Field(
        default=600.0,
        ge=1,
        le=values.DAY_SECONDS,
        description="Everything is listed again about this often, for changes that no event told of. Raise it for"
        " millions of files, lower it for network file systems.",
    )


class SnapshotSettings(Section):
    """When a snapshot is made, its name, and which are kept."""

    heading = "When snapshots are made. Whichever condition comes first makes one; none is made without a change."

    quiet_seconds: values.SecondsOrOff = Field(
        default=30.0,
        description='Make one when nothing has changed for this many seconds, or "off". Raise it if data arrives in'
        " bursts that belong together.",
    )
    max_wait_seconds: values.SecondsOrOff = Field(
        default=600.0,
        description="… or when the oldest change has waited this long, so that a steady stream is snapshotted too;"
        ' or "off".',
    )
    max_changes: values.CountOrOff = Field(default=10_000, description='… or when this many changes wait; or "off".')
    schedule: values.Cron = Field(
        default="",
        description='… or by this cron expression: minute hour day-of-month month day-of-week, such as "0 3 * * *".'
        ' For snapshots at that time only, set the three above to "off".',
    )
    timezone: values.TimeZone = Field(default="UTC", description="The schedule's time zone, such as Europe/Berlin.")
    min_interval_seconds: values.Seconds = Field(
        default=0.0,
        ge=0,
        le=30 * values.DAY_SECONDS,
        description="Leave at least this long between two automatic snapshots. Raise it if there are too many.",
    )
    tag: values.TagTemplate = Field(
        default="snap-{time:%Y%m%dT%H%M%SZ}-{seq}",
        description="Each snapshot's name. {time} is in UTC, {seq} counts from 1. Needs {seq}, or {time} down to the"
        " second, so that no name comes twice.",
    )
    keep_last: values.Count = Field(
        default=0,
        description="Keep this many newest snapshots. While this and the next three are 0, all are kept. What no rule"
        " keeps loses its pin, so that lakeFS's garbage collection, where you run it, may take its objects. Always"
        " kept: the newest, what somebody pinned (syncd pin), and what is being pulled.",
    )
    keep_daily: values.Count = Field(default=0, description="… and one for each of this many days (UTC).")
    keep_weekly: values.Count = Field(default=0, description="… and one for each of this many weeks.")
    keep_monthly: values.Count = Field(default=0, description="… and one for each of this many months.")
    remove_tags: values.Switch = Field(
        default=False,
        description="Delete the tags of those that are not kept, too. Left false, the names stay, also once garbage"
        " collection has taken objects of them.",
    )


class GuardSettings(Section):
    """How much may be deleted before a person is asked."""

    heading = "An unmounted disk looks like deletion. Beyond these limits syncd holds deletions and asks."

    max_delete_percent: values.Percent = Field(
        default=25.0,
        description="Hold when more than this share of all images would be deleted at once. 100 never holds.",
    )
    max_delete_count: values.Count = Field(
        default=0, description="Hold when more than this many would be deleted at once; 0 sets no such limit."
    )
    min_objects: values.Count = Field(default=20, description="The percentage counts only from this many images on.")


class UploadSettings(Section):
    """How changes travel to lakeFS."""

    heading = "How changes travel to lakeFS. The defaults suit most; memory follows concurrency."

    concurrency: values.Count = Field(
        default=64,
        ge=1,
        le=1024,
        description="Requests under way at once. Raise it for a server far away, lower it for a small one.",
    )
    batch_objects: values.Count = Field(
        default=5000,
        ge=1,
        le=10_000,
        description="Changes sent together, between two looks at what is due.",
    )
    batch_bytes: values.BatchSize = Field(
        default=256 * 1024**2, description='Bytes sent together, such as "256MiB" or "1GB".'
    )
    max_object_bytes: values.ObjectSize = Field(
        default=5 * 1024**3,
        description="Larger files are not synced but named in status. 5GiB is the most one S3 request takes.",
    )


class PullSettings(Section):
    """Where pulled snapshots come from and how."""

    heading = "What pulls on this machine share (`syncd pull`, and the Python library)."

    cache_dir: values.AbsolutePath = Field(
        default_factory=lambda: user_cache_path("syncd") / "pull",
        examples=["/var/cache/syncd"],
        description="Where fetched objects are kept, so that none is fetched twice. Left out: syncd/pull in"
        " $XDG_CACHE_HOME, or in ~/.cache. On the file system of the folders that are pulled into it costs no copies.",
    )
    cache_bytes: values.CacheSize = Field(
        default=50 * 1024**3,
        description="What the cache may hold after a pull; the least recently used objects go first.",
    )


class ServiceSettings(Section):
    """The daemon itself."""

    heading = "The daemon itself."

    state_dir: values.AbsolutePath = Field(
        default=Path("/var/lib/syncd"),
        examples=["/var/lib/syncd"],
        description="syncd's own folder: journal, socket, embedded server. One for each daemon. Left out:"
        " $STATE_DIRECTORY (set by systemd); else /var/lib/syncd where this user may write there; else"
        " ~/.local/state/syncd (or $XDG_STATE_HOME/syncd).",
    )
    listen: values.ListenAddress = Field(
        default="127.0.0.1:8410",
        description="Address of the page, of health and metrics, for this machine only unless there is a token."
        ' "" turns them off.',
    )
    listen_token: values.OptionalSecret = Field(
        default=None,
        description="What a caller must send as Authorization: Bearer, and a person show to the page, which has buttons"
        " then; without it only /livez and /readyz answer."
        " Allowed here only if this file is readable by its owner alone.",
    )
    listen_token_file: values.OptionalPath = Field(
        default=None,
        examples=["/etc/syncd/listen-token"],
        description="File that holds it and nothing else, readable by its owner alone (chmod 600). systemd credential:"
        " service_listen_token.",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, json otherwise."
    )
