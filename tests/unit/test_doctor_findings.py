"""What findings mean, what is known of versions, and what cannot be broken on the machine of a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from syncd.doctor import host
from syncd.doctor.disk import of_kind
from syncd.doctor.examination import Check, examine, in_thread
from syncd.doctor.findings import LAKEFS_REACHABLE, Finding, as_json, as_lines, exit_code, fail, ok, warn
from syncd.doctor.folder import Limits, of_limits
from syncd.doctor.store import of_version
from syncd.errors import SourceUnavailableError


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        ([], 0),
        (["folder.readable"], 1),
        ([LAKEFS_REACHABLE], 5),
        ([LAKEFS_REACHABLE, "s3.reachable"], 5),
        ([LAKEFS_REACHABLE, "table.labels"], 1),
        (["configuration", LAKEFS_REACHABLE], 78),
    ],
)
def test_the_exit_code_says_what_fails(failing: list[str], code: int) -> None:
    findings = [ok("syncd", "x"), warn("a", "x", "y"), *(fail(name, "x", "y") for name in failing)]
    assert exit_code(findings) == code
    assert as_json(findings)["ok"] is (code == 0)


def test_lines_hold_the_fix_below_the_fact() -> None:
    assert as_lines([ok("a", "fine"), fail("bcd", "broken", "mend it")]) == [
        "ok    a    fine",
        "fail  bcd  broken",
        "           fix: mend it",
        "1 ok, 0 warn, 1 fail",
    ]


async def test_a_check_that_fails_or_hangs_keeps_no_other_and_what_it_found_counts() -> None:
    async def raising() -> AsyncGenerator[Finding, None]:
        yield ok("before", "x")
        raise ValueError("odd")

    async def unavailable() -> AsyncGenerator[Finding, None]:
        raise SourceUnavailableError("it is away", next_step="mount it")
        yield

    async def hanging() -> AsyncGenerator[Finding, None]:
        yield ok("first", "x")
        await asyncio.Event().wait()

    checks = [Check("raising", raising), Check("unavailable", unavailable), Check("hanging", hanging)]
    found = await examine(checks, limit_s=0.1)
    assert [(one.name, one.level) for one in found] == [
        ("before", "ok"),
        ("raising", "fail"),
        ("unavailable", "fail"),
        ("first", "ok"),
        ("hanging", "fail"),
    ]
    assert found[2] == fail("unavailable", "it is away", "mount it")


async def test_blocking_work_is_not_waited_for_longer_than_that() -> None:
    never = threading.Event()
    with pytest.raises(TimeoutError):
        await in_thread(never.wait, limit_s=0.05)
    never.set()
    assert await in_thread(lambda: 7, limit_s=10) == 7


@pytest.mark.parametrize(
    ("version", "level", "said"),
    [
        ("1.84.0", "ok", "tested with it"),
        ("1.84.3", "ok", "tested with it"),
        ("1.90.0", "ok", "newer than"),
        ("1.60.0", "warn", "older than"),
        ("1.55.0", "warn", "issue 8545"),
        ("0.104.0", "warn", "its API is not"),
        ("2.0.0", "warn", "another generation"),
        ("dev-1a2b3c", "warn", "'dev-1a2b3c'"),
    ],
)
def test_what_is_known_of_a_version_of_lakefs(version: str, level: str, said: str) -> None:
    finding = of_version(version)
    assert finding.level == level
    assert said in finding.fact


def test_sqlite_is_named_and_refused_when_it_is_too_old() -> None:
    assert host.of_sqlite((3, 30, 1)).level == "fail"
    assert "has a fault" in host.of_sqlite((3, 40, 1)).fact
    assert "has a fault" in host.of_sqlite((3, 50, 6)).fact
    for mended in ((3, 44, 6), (3, 50, 7), (3, 51, 3), (3, 52, 0)):
        assert host.of_sqlite(mended).fact == f"SQLite {'.'.join(map(str, mended))}"


def test_the_limit_of_open_files_is_held_against_the_uploads() -> None:
    assert host.of_descriptors(64, hard=1024).level == "ok"
    assert host.of_descriptors(64, hard=256).level == "warn"
    assert host.of_descriptors(64, hard=32).level == "fail"


LOADED = {"LoadState": "loaded", "UnitFileState": "enabled", "User": "", "SubState": "running"}


@pytest.mark.parametrize(
    ("told", "level", "fix"),
    [
        ({}, "ok", ""),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "ok", ""),
        ({**LOADED, "ActiveState": "active"}, "ok", ""),
        ({**LOADED, "ActiveState": "failed", "Result": "exit-code"}, "fail", "journalctl -u syncd.service"),
        ({**LOADED, "ActiveState": "inactive"}, "warn", "sudo systemctl enable --now syncd.service"),
        ({**LOADED, "ActiveState": "active", "UnitFileState": "disabled"}, "warn", "sudo systemctl enable"),
    ],
)
def test_what_systemd_says_of_a_unit(told: dict[str, str], level: str, fix: str) -> None:
    finding = host.of_properties("syncd.service", told)
    assert finding.level == level
    assert finding.fix.startswith(fix)


def test_the_unit_follows_from_the_configurations_name() -> None:
    assert host.unit_of(Path("/etc/syncd/cats.toml")) == "syncd@cats.service"
    assert host.unit_of(Path("/etc/syncd/syncd.toml")) == host.unit_of(None) == "syncd.service"


def test_a_state_directory_on_a_file_system_of_other_machines_is_refused() -> None:
    assert of_kind(Path("/x"), "nfs4").level == "fail"
    assert of_kind(Path("/x"), "ext4").level == "ok"


def test_the_watches_of_others_count() -> None:
    limits = Limits(watches=100, instances=4, watches_in_use=60, instances_in_use=1)
    enough = list(of_limits(limits, directories=40, instances=3, complete=True))
    assert [one.level for one in enough] == ["ok", "ok"]
    watches, instances = of_limits(limits, directories=41, instances=4, complete=False)
    assert (watches.level, instances.level) == ("warn", "warn")
    assert watches.fact.startswith("at least 41 directories")
    assert "60 in use by other programs" in watches.fact
    untold = Limits(watches=None, instances=None)
    assert [one.level for one in of_limits(untold, directories=9, instances=1, complete=True)] == ["ok", "ok"]
