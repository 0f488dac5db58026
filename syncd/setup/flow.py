"""The order of set-up: everything is looked at first, then the server is changed, and the configuration comes last.

The one thing written before a change is the secret of a new server: without it nobody could get in if the run were
killed just after. Its key id follows from it.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.config import rules
from syncd.config.example import answered_toml
from syncd.errors import NeedsPersonStoreError, StoreError
from syncd.setup import probes, server, write
from syncd.setup.keys import Key, Keys
from syncd.setup.questions import SetupError, hold, missing
from syncd.store.lakefs_setup import ADMIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.setup.questions import Given, Questions
    from syncd.setup.server import SetUpServer
    from syncd.store.lakefs_setup import Server

SYSTEM_FOLDER = Path("/etc/syncd")
_DEPENDS = (
    "There is no terminal to ask at. A server's address also needs --repository, and --access-key-id with"
    " --secret-access-key-file unless the server is new; --endpoint embedded needs nothing more"
)


class SetUp:
    """One run of set-up."""

    def __init__(self, given: Given, questions: Questions) -> None:
        self._given, self._questions, self._say = given, questions, questions.say
        self._before: dict[str, Any] = write.read_config(given.config) or {}  # what is there, for defaults
        self._keys = Keys(given, questions, self._former("lakefs", "access_key_id"))

    def run(self) -> None:
        """Ask, look, set up, write.

        Raises:
            SyncdError: Something cannot be used; the configuration was not written.
        """
        write.tidy(self._given.config, self._keys.file)
        if self._questions.terminal is None:
            self._require_flags()
        root = self._questions.settle(
            self._given.root,
            "--root",
            "Folder that holds the images",
            lambda text: probes.folder(text, self._say),
            default=self._former("source", "root"),
        )
        endpoint, new = self._questions.settle(
            self._given.endpoint,
            "--endpoint",
            "Address of the lakeFS server, or embedded for one that syncd runs itself",
            self._look_at_endpoint,
            default=self._former("lakefs", "endpoint") or rules.EMBEDDED,
        )
        answers: write.Answers = {"source": {"root": str(root)}, "tables": self._table(endpoint), "lakefs": {}}
        if endpoint == rules.EMBEDDED:
            repository = self._given.repository
            answers["lakefs"] = {"endpoint": endpoint} | ({"repository": _repository(repository)} if repository else {})
        else:
            self._on_server(endpoint, answers, new=new)
        self._write(answers)

    def _former(self, section: str, key: str) -> str:
        found = self._before.get(section)
        value = found.get(key, "") if isinstance(found, dict) else ""
        return value if isinstance(value, str) else ""

    def _require_flags(self) -> None:
        """Name everything that is missing at once: nobody can be asked."""
        given = self._given
        wanted = {"--root": given.root, "--endpoint": given.endpoint}
        if given.csv or given.table_url_file:
            wanted["--key"] = given.key
        if given.table_url_file:
            wanted["--table"] = given.table
        lacking = [flag for flag, value in wanted.items() if value is None]
        if given.endpoint not in (None, rules.EMBEDDED):
            lacking += [] if given.repository else ["--repository"]
            lacking += self._lacking_key(given.endpoint)
        if lacking:
            raise missing(lacking, _DEPENDS)

    def _lacking_key(self, endpoint: str | None) -> list[str]:
        """Return the flags of the key that are missing; a new server needs none."""
        if not (lacking := self._keys.lacking()):
            return []
        with suppress(StoreError):  # it is said when its turn comes
            return [] if server.reach(hold(rules.endpoint, "--endpoint", endpoint or ""), _nothing) else lacking
        return []

    def _look_at_endpoint(self, text: str) -> tuple[str, bool]:
        endpoint = hold(rules.endpoint, "--endpoint", text)
        if endpoint == rules.EMBEDDED:
            self._say("lakeFS: syncd runs its own, with its data in its state directory")
            return endpoint, False
        return endpoint, server.reach(endpoint, self._say)

    def _table(self, endpoint: str) -> dict[str, Any]:
        """Return what was answered about the table; {}: there is none."""
        given, ask = self._given, self._questions
        if given.table_url_file is not None:
            url_file = given.table_url_file
            table = ask.settle(given.table, "--table", "Table in the database", _named)
            return self._columns(
                lambda key, image: probes.database_table(url_file, table, key, image, self._say),
            )
        csv = given.csv
        if csv is None and ask.terminal is not None and endpoint != rules.EMBEDDED:
            csv = ask.terminal.text("CSV file that describes the images (- for none)", "-")
        if csv in (None, "", "-"):
            return {}
        return self._columns(lambda key, image: probes.csv_table(str(csv), key, image, self._say))

    def _columns(self, look: Callable[[str, str | None], dict[str, Any]]) -> dict[str, Any]:
        given, terminal = self._given, self._questions.terminal

        def with_image(key: str) -> dict[str, Any]:
            image = given.image_column
            if image is None and terminal is not None:
                image = terminal.text("Column with each row's image, relative to the folder (- for none)", "-")
            return look(key, None if image in (None, "", "-") else image)

        return self._questions.settle(given.key, "--key", "Column whose value names a row", with_image, default="id")

    def _on_server(self, endpoint: str, answers: write.Answers, *, new: bool) -> None:
        given = self._given
        repository = self._questions.settle(
            given.repository,
            "--repository",
            "Repository in lakeFS, created if it is not there",
            _repository,
            default=self._former("lakefs", "repository") or "dataset",
        )
        branch = hold(rules.branch_name, "--publish-branch", given.publish_branch)
        if given.storage_namespace is not None:
            hold(rules.storage_namespace, "--storage-namespace", given.storage_namespace)
        known = {"endpoint": endpoint, "repository": repository, "publish_branch": branch}

        def at(key: Key) -> SetUpServer:
            answers["lakefs"] = known | key.answers()
            return server.SetUpServer(endpoint, key.access_key_id, key.secret, repository)

        if new:
            key = self._keys.for_new_server()
            place = at(key)
            self._require_possible(answers)
            key.store()
            place.make_admin()
            self._say(f"user {ADMIN}: made, with a key whose secret is in {key.file} (0600) and nowhere else")
            found = place.look(self._say)
        else:
            key, place, found = self._opened(at)
            self._require_possible(answers)
        stored_in = place.namespace()
        if stored_in is None:
            stored_in = self._create(place, repository, branch, found.namespace_start)
        elif given.storage_namespace and given.storage_namespace.rstrip("/") != stored_in.rstrip("/"):
            raise SetupError(
                f"The repository {repository} is there, stored in {stored_in} and not in {given.storage_namespace}",
                next_step="leave --storage-namespace out, or name another --repository",
            )
        else:
            self._say(f"repository {repository}: is there, stored in {stored_in}")
        answers["lakefs"]["storage_namespace"] = stored_in
        place.protect(branch, self._say)
        key.store()

    def _opened(self, at: Callable[[Key], SetUpServer]) -> tuple[Key, SetUpServer, Server]:
        """Return the first key that the server takes; a person may try again."""
        key = self._keys.stored()
        while True:
            if key is None:
                key = self._keys.asked()
            place = at(key)
            try:
                return key, place, place.look(self._say)
            except NeedsPersonStoreError as error:
                if " (401" not in error.fact:
                    raise
                refusal = NeedsPersonStoreError(
                    error.fact,
                    cause=error.cause,
                    next_step="give --access-key-id and --secret-access-key-file of a pair that lakectl works with",
                )
                if self._questions.terminal is None or self._given.secret_access_key_file is not None:
                    raise refusal from None
                self._say(str(refusal))
                key = None

    def _create(self, place: SetUpServer, repository: str, branch: str, namespace_start: str) -> str:
        local = namespace_start.endswith("://")
        example = f"{namespace_start if local else namespace_start.rstrip('/') + '/'}{repository}"
        offered = example if namespace_start and not (local and namespace_start != "local://") else ""

        def make(namespace: str) -> str:
            hold(rules.storage_namespace, "--storage-namespace", namespace)
            place.create(namespace, branch, offered or f"s3://bucket/{repository}")
            return place.namespace() or namespace

        stored_in = self._questions.settle(
            self._given.storage_namespace,
            "--storage-namespace",
            f"Where lakeFS is to store the repository, such as s3://bucket/{repository}",
            make,
            default=offered,
        )
        self._say(f"repository {repository}: created, stored in {stored_in}")
        return stored_in

    def _require_possible(self, answers: write.Answers) -> None:
        if not write.require_agreement(self._given.config, answers):
            write.require_fit(self._given.config, answers)

    def _write(self, answers: write.Answers) -> None:
        path = self._given.config
        self._require_possible(answers)
        if write.require_agreement(path, answers):
            self._say(f"{path}: says this already; nothing was changed")
        else:
            write.write_new(path, answered_toml(answers), mode=0o644)
            self._say(f"{path}: written")
        for line in next_steps(path, answers["lakefs"].get("secret_access_key_file")):
            self._say(line)


def next_steps(config: Path, secret_file: str | None) -> list[str]:
    """Return what to run after set-up, one command a line."""
    named = shlex.quote(str(config))
    unit = "syncd" if config.stem == "syncd" else f"syncd@{config.stem}"
    lines = ["next:", f"  syncd config check --config {named}", f"  syncd sync --config {named}"]
    lines += [f"  sudo systemctl enable --now {shlex.quote(unit)}"]
    if config.parent != SYSTEM_FOLDER:
        lines += [f"    (the service reads {SYSTEM_FOLDER / config.name}: put it there first)"]
    if secret_file is not None:
        lines += [f"    (let its unit have the secret: LoadCredential=lakefs_secret_access_key:{secret_file})"]
    return lines


def _repository(text: str) -> str:
    return hold(rules.repository_name, "--repository", text)


def _named(text: str) -> str:
    if not text.strip():
        raise SetupError("No table was named")
    return text


def _nothing(_: str) -> None:
    pass
