"""Logs: JSON lines with stable keys, and never a secret, wherever it comes from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
import structlog

from syncd.service import logs

CANARY = "wJalrXUtnFEMI-canary"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail() -> None:
    raise ValueError(CANARY)


def test_a_line_is_json_with_its_time_and_values(capsys):
    logs.set_up("json")
    structlog.get_logger("x").info("batch_staged", uploaded=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["uploaded"], line["level"]) == ("batch_staged", 3, "info")
    assert line["at"].endswith("Z")


def test_a_secret_never_reaches_a_line(capsys):
    logs.set_up("json", redaction=logs.Redaction([CANARY, ""]), level=logging.DEBUG)
    log = structlog.get_logger("x")
    log.info(CANARY, error=f"said {CANARY}", nested={"deep": [CANARY]})
    logging.getLogger("botocore").warning("key %s", CANARY)
    try:
        fail()
    except ValueError:
        log.exception("failed")
        logging.getLogger("aiohttp").exception("failed")
    shown = capsys.readouterr().err
    assert CANARY not in shown
    assert shown.count(logs.HIDDEN) >= 5


def test_a_console_line_is_for_people(capsys):
    logs.set_up("console", redaction=logs.Redaction([CANARY]))
    structlog.get_logger("x").warning("source_paused", why=CANARY)
    try:
        fail()
    except ValueError:
        structlog.get_logger("x").exception("failed")
    shown = capsys.readouterr().err
    assert "source_paused" in shown
    assert CANARY not in shown


def test_what_is_below_the_level_is_dropped(capsys):
    logs.set_up("json", level=logging.WARNING)
    structlog.get_logger("x").info("batch_staged")
    assert capsys.readouterr().err == ""


def test_a_secret_that_comes_later_is_hidden_as_well_and_a_longer_one_wholly(capsys):
    redaction = logs.Redaction(["canary"])
    logs.set_up("json", redaction=redaction)
    redaction.hide(["canary-and-more"])
    structlog.get_logger("x").info("tried", what="canary-and-more", other="canary")
    line = json.loads(capsys.readouterr().err)
    assert (line["what"], line["other"]) == (logs.HIDDEN, logs.HIDDEN)


def test_a_line_that_cannot_be_written_is_let_go(monkeypatch):
    """A full disk under the log pauses nothing, and ends nothing; whoever asks the daemon still hears of it."""
    seen = []
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        monkeypatch.setattr("sys.stderr", full)
        logs.set_up("json", recorder=lambda _logger, _method, event: seen.append(event["event"]) or event)
        structlog.get_logger("x").warning("failing")
        logging.getLogger("botocore").warning("failing, too")
        with suppress(OSError):
            full.close()
    assert seen == ["failing"]
