"""One embedded lakeFS on disk: its folder, its keys, and the settings it is started with.

::

    <state_dir>/lakefs/          0700
      keys/                      made once: access_key_id, secret_access_key, encryption_secret, each 0600
      meta/ block/ cache/        lakeFS's own
      config.yaml                its settings and keys, 0600; also, it keeps lakeFS from picking up somebody else's
      lakefs.log lakefs.log.1    what the server said
      server.json                process id and address of the last start
      owner.lock server.lock     who runs the server; whether one runs
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import string
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from syncd.addresses import ListenAddress
from syncd.embedded.files import sync_folder
from syncd.errors import EmbeddedServerError

_ACCESS_KEY_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits
_LOG_LIMIT_BYTES = 10_000_000
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # some Pythons, hence the guard, start only with these


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What this installation alone knows."""

    access_key_id: str  # 20 characters, the most lakeFS takes
    secret_access_key: str = field(repr=False)
    encryption_secret: str = field(repr=False)  # lakeFS encrypts stored credentials with it


@dataclass(frozen=True, slots=True, kw_only=True)
class LastStart:
    """What the previous server left in ``server.json``."""

    pid: int
    port: int


class Installation:
    """The folder ``lakefs`` below a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir.absolute() / "lakefs"
        self.config_path = self.directory / "config.yaml"
        self.log_path = self.directory / "lakefs.log"
        self.keys_dir = self.directory / "keys"
        self.secret_path = self.keys_dir / "secret_access_key"
        self.owner_lock_path = self.directory / "owner.lock"
        self.server_lock_path = self.directory / "server.lock"
        self._last_start_path = self.directory / "server.json"

    def prepare(self) -> None:
        """Create the folder, for its owner alone.

        Raises:
            EmbeddedServerError: It cannot be created or written.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.directory.chmod(0o700)
        except OSError as error:
            raise EmbeddedServerError(
                f"The embedded lakeFS cannot keep its data in {self.directory}: {error.strerror}",
                next_step="give syncd a state directory that it may write, with room on its disk",
            ) from error

    def keys(self) -> Keys:
        """Return the keys, making them at the first call. Hold the owner lock: two makers would disagree.

        Raises:
            EmbeddedServerError: They are damaged, or gone while the data they belong to is there.
        """
        if not self.keys_dir.exists():
            if (self.directory / "meta").exists():
                raise self._lost_keys(f"{self.keys_dir} is gone, but the data it belongs to is there")
            self._make_keys()
        values = {name: self._read_key(name) for name in Keys.__dataclass_fields__}
        return Keys(**values)

    def write_config(self, keys: Keys) -> None:
        """Write the server's configuration: its secrets, which an environment would show to others.

        Raises:
            OSError: It cannot be written.
        """
        config = {
            "auth": {"encrypt": {"secret_key": keys.encryption_secret}},
            "installation": {
                "user_name": "admin",
                "access_key_id": keys.access_key_id,
                "secret_access_key": keys.secret_access_key,
            },
        }
        fresh = self.config_path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        _write_private(fresh, json.dumps(config, indent=2))  # JSON is YAML
        fresh.replace(self.config_path)

    def environment(self, *, host: str, port: int) -> dict[str, str]:
        """Return the whole environment for the server: nothing of the caller's LAKEFS_* or AWS_* gets in."""
        inherited = {name: os.environ[name] for name in ("PATH", *_LIBRARY_PATHS) if name in os.environ}
        return inherited | {
            "HOME": str(self.directory),
            "LAKEFS_LISTEN_ADDRESS": str(ListenAddress(host, port)),
            "LAKEFS_DATABASE_TYPE": "local",
            "LAKEFS_DATABASE_LOCAL_PATH": str(self.directory / "meta"),
            "LAKEFS_BLOCKSTORE_TYPE": "local",
            "LAKEFS_BLOCKSTORE_LOCAL_PATH": str(self.directory / "block"),
            "LAKEFS_COMMITTED_LOCAL_CACHE_DIR": str(self.directory / "cache"),
            "LAKEFS_STATS_ENABLED": "false",
            "LAKEFS_SECURITY_CHECK_LATEST_VERSION": "false",
            "LAKEFS_EMAIL_SUBSCRIPTION_ENABLED": "false",
        }

    def last_start(self) -> LastStart | None:
        """Return what the previous server left, or None."""
        try:
            said = json.loads(self._last_start_path.read_bytes())
            return LastStart(pid=int(said["pid"]), port=int(said["port"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # only a convenience: a fresh start works without

    def remember_start(self, start: LastStart) -> None:
        """Keep process id and port for the next start."""
        fresh = self._last_start_path.with_suffix(".new")
        fresh.write_text(json.dumps({"pid": start.pid, "port": start.port}) + "\n", encoding="utf-8")
        fresh.replace(self._last_start_path)

    def rotate_log(self) -> None:
        """Put a large log aside, over the one put aside before."""
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))

    def _make_keys(self) -> None:
        """Make all keys at once: the folder appears complete, under its name, or not at all."""
        for leaving in self.directory.glob("keys-*"):
            shutil.rmtree(leaving)
        fresh = Path(tempfile.mkdtemp(prefix="keys-", dir=self.directory))  # 0700
        _write_private(fresh / "access_key_id", "SYNCD" + _random(_ACCESS_KEY_LETTERS, 15))
        _write_private(fresh / "secret_access_key", _random(_SECRET_LETTERS, 40))
        _write_private(fresh / "encryption_secret", _random(_SECRET_LETTERS, 40))
        sync_folder(fresh)
        fresh.rename(self.keys_dir)
        sync_folder(self.directory)

    def _read_key(self, name: str) -> str:
        path = self.keys_dir / name
        try:
            value = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self._lost_keys(f"{path} cannot be read: {error}") from error
        if not value:
            raise self._lost_keys(f"{path} is empty")
        return value

    def _lost_keys(self, fact: str) -> EmbeddedServerError:
        return EmbeddedServerError(
            fact,
            cause="The embedded lakeFS opens its data only with the keys it was made with",
            next_step=f"restore {self.keys_dir} from a backup, or move {self.directory} away to begin anew",
        )


def _random(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
