"""The [notify] section: what it takes, what it refuses and in which words, and that its secrets stay secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from syncd.cli.common import configured
from syncd.config import FaultyConfigError, Loaded, load
from syncd.config.advice import advice
from syncd.config.report import as_json, text_lines
from syncd.service.reload import changes, takes_effect_at_once

SOURCE = '[source]\nroot = "/srv/images"\n[notify]\n'
CANARY = "https://hooks.example.com/T0/canary0123456789"
SECRET = "canary/Signing+0123456789"


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def load_text(folder: Path, text: str, *, mode: int = 0o644, **environ: str) -> Loaded:
    path = folder / "syncd.toml"
    path.write_text(SOURCE + text)
    path.chmod(mode)
    return load(path, environ={"HOME": str(folder), **environ}, cwd=folder)


def shown(secret: SecretStr | None) -> str | None:
    return secret and secret.get_secret_value()


def private(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def test_nobody_is_told_unless_it_is_asked_for(tmp_path: Path) -> None:
    notify = load_text(tmp_path, "").settings.notify
    assert notify.on == ("snapshot", "hold", "failure", "recovery", "stale")
    assert (notify.webhook_url, notify.command, notify.ping_url, list(notify.secrets())) == (None, (), None, [])


def test_addresses_and_the_secret_come_from_files_of_their_own(tmp_path: Path) -> None:
    private(tmp_path / "url", CANARY)
    private(tmp_path / "secret", SECRET)
    private(tmp_path / "ping", CANARY + "/ping")
    text = 'webhook_url_file = "url"\nwebhook_secret_file = "secret"\nping_url_file = "ping"\n'
    loaded = load_text(tmp_path, text)
    assert list(loaded.settings.notify.secrets()) == [CANARY, SECRET, CANARY + "/ping"]
    assert loaded.origins["notify.webhook_url"] == f"{tmp_path}/url (syncd.toml:4)"


def test_systemd_credentials_come_first_then_the_environment(tmp_path: Path) -> None:
    folder = private(tmp_path / "credentials" / "notify_webhook_secret", SECRET).parent
    loaded = load_text(
        tmp_path,
        'webhook_url = "http://127.0.0.1/in-file"\nwebhook_secret = "in-file"\n',
        mode=0o600,
        CREDENTIALS_DIRECTORY=str(folder),
        SYNCD_NOTIFY__WEBHOOK_URL=CANARY,
        SYNCD_NOTIFY__ON="hold,failure",
        SYNCD_NOTIFY__COMMAND="/usr/local/bin/tell,ops",
    )
    notify = loaded.settings.notify
    assert (shown(notify.webhook_url), shown(notify.webhook_secret)) == (CANARY, SECRET)
    assert (notify.on, notify.command) == (("hold", "failure"), ("/usr/local/bin/tell", "ops"))
    assert loaded.origins["notify.webhook_secret"] == "systemd credential notify_webhook_secret"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('on = ["snapshots"]', r":4: notify.on\[0\]: must be 'snapshot', 'hold', .* \(is \"snapshots\"\)"),
        ('webhook_url = "hooks.example.com"', r":4: notify.webhook_url: must be like \"https://host/path\" \(is \*+\)"),
        (
            'ping_url = "ftp://canary0123456789/x"',
            r":4: notify.ping_url: must be like \"https://host/path\" \(is \*+\)",
        ),
        ('command = "tell"', ":4: notify.command: must be a list"),
        ('command = ["tell"]', ":4: notify.command: must begin with the absolute path of a program, such as"),
        ('command = ["/bin/tell", "\\u0000"]', ":4: notify.command: must not contain a NUL character"),
        ("ping_seconds = 0.5", ":4: notify.ping_seconds: must be greater than or equal to 1"),
        ("stale_seconds = -1", ":4: notify.stale_seconds: must be greater than or equal to 0"),
        ('webhook_urls = "x"', r":4: notify.webhook_urls: unknown key \(is \*+\); did you mean notify.webhook_url\?"),
        ('webhook_url_file = "absent"', ":4: notify.webhook_url_file: .*/absent does not exist"),
        (
            'webhook_url = "http://a/canary0123456789"\nwebhook_url_file = "b"',
            ":5: notify.webhook_url_file: webhook_url and webhook_url_file cannot stand together",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FaultyConfigError, match=says) as caught:
        load_text(tmp_path, text + "\n")
    assert len(caught.value.faults) == 1
    assert "canary" not in str(caught.value)


def test_a_secret_needs_a_webhook_and_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    text = f'webhook_secret = "{SECRET}"\n'
    with pytest.raises(FaultyConfigError, match=r":4: notify\.webhook_secret: goes with webhook_url") as caught:
        load_text(tmp_path, text, mode=0o600)
    assert SECRET not in str(caught.value)
    with pytest.raises(FaultyConfigError, match=f":4: notify.webhook_secret: needs this file .*chmod 600 {tmp_path}"):
        load_text(tmp_path, f'{text}webhook_url = "http://127.0.0.1/"\n')


def test_a_blank_variable_lets_what_is_below_show_through(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, f'webhook_url = "{CANARY}"\n', SYNCD_NOTIFY__WEBHOOK_URL="")
    assert shown(loaded.settings.notify.webhook_url) == CANARY


@pytest.mark.usefixtures("_logging_as_it_was")
def test_nothing_that_shows_or_logs_the_configuration_shows_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'webhook_url = "{CANARY}"\nwebhook_secret = "{SECRET}"\nping_url = "{CANARY}/ping"\n'
    loaded = load_text(tmp_path, text, mode=0o600)
    everything = "\n".join([*text_lines(loaded), str(as_json(loaded)), repr(loaded.settings)])
    assert 'notify.webhook_url = "********"' in everything or "notify.webhook_url = ********" in everything
    assert "canary" not in everything
    configured(tmp_path / "syncd.toml", log_level=logging.DEBUG)
    logging.getLogger("any").error("%s %s", CANARY, SECRET)
    said = capsys.readouterr().err
    assert "********" in said
    assert "canary" not in said


def test_a_command_that_is_not_there_is_worth_a_warning(tmp_path: Path) -> None:
    said = [line for line in advice(load_text(tmp_path, 'command = ["/absent/tell"]\n')) if "notify" in line]
    assert said == ["notify.command: /absent/tell is not there, or cannot be executed by this user"]
    assert not [line for line in advice(load_text(tmp_path, 'command = ["/bin/sh"]\n')) if "notify" in line]


def test_all_of_it_changes_at_once(tmp_path: Path) -> None:
    before = load_text(tmp_path, "").settings
    after = load_text(tmp_path, f'webhook_url = "{CANARY}"\nping_seconds = 5\n').settings
    found = changes(before, after)
    assert found == ["notify.webhook_url", "notify.ping_seconds"]
    assert all(takes_effect_at_once(key) for key in found)
