"""The HTTP side with a real server and a real client, and a view that the test holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncd.errors import JournalError
from syncd.status import State
from syncd.tallies import Tallies
from syncd.web import server as web_server
from syncd.web.access import HEADERS
from syncd.window import Listen, Shelf

HOUR = "2026-11-27T08:00:00+00:00"
TOKEN = "0123456789abcdef"


def status(**changed: Any) -> dict[str, Any]:
    return {
        "state": "idle",
        "since": HOUR,
        "in_step_at": "2026-11-27T08:10:00+00:00",
        "pending": {"upload": 0, "upload_bytes": 0, "delete": 0, "uncommitted": 0, "since": None},
        "snapshot": None,
        "retention": {"failure": "", "faults": []},
        "configuration": {"fault": "", "at_next_start": []},
        "sources": [],
        "tables": [],
        "not_synced": {},
        **changed,
    }


NOBODY: Any = None  # who is not asked here
EMPTY_SHELF = Shelf(
    read=NOBODY,
    versions=NOBODY,
    pins=NOBODY,
    objects=NOBODY,
    repository="images",
    publish_branch="main",
    prefix="",
    pictures=Path(":memory:"),
)


class View:
    """A ``Window`` that shows what the test says."""

    def __init__(self, shown: dict[str, Any] | None = None) -> None:
        self.tallies, self.shown, self.ok, self.why = Tallies(), shown or status(), True, ""
        self.shelf, self.actions = EMPTY_SHELF, None
        self.error: Exception | None = None
        self.never = False

    async def status(self) -> dict[str, Any]:
        if self.never:
            await asyncio.get_running_loop().create_future()
        if self.error is not None:
            raise self.error
        return self.shown

    def health(self) -> dict[str, Any]:
        loop = {"name": "loop", "ok": True, "why": ""}
        lakefs = {"name": "lakefs", "ok": self.ok, "why": self.why}
        return {"live": {"ok": True, "checks": [loop]}, "ready": {"ok": self.ok, "checks": [loop, lakefs]}}


@asynccontextmanager
async def served(view: View, *, token: str = "") -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        web_server.serve(view, Listen("127.0.0.1", 0, token)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=aiohttp.ClientTimeout(10)) as session,
    ):
        yield session


async def fetched(session: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str]:
    async with session.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()}) as answer:
        return answer.status, await answer.text()


async def test_probes_say_ok_and_verbose_says_what_was_checked() -> None:
    view = View()
    async with served(view) as session:
        assert await fetched(session, "/livez") == (200, "ok\n")
        assert await fetched(session, "/readyz") == (200, "ok\n")
        view.ok, view.why = False, "lakeFS does not answer.\n  next: syncd doctor"
        assert await fetched(session, "/livez") == (200, "ok\n")
        assert await fetched(session, "/readyz") == (503, "not ready; ask with ?verbose\n")
        said = await fetched(session, "/readyz?verbose")
        assert said == (503, "ok loop\nfailed lakefs: lakeFS does not answer. next: syncd doctor\n")


async def test_every_answer_carries_headers_that_keep_browsers_from_guessing() -> None:
    async with served(View()) as session:
        for path in ("/", "/livez", "/metrics", "/no-such-page"):
            async with session.get(path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'")
                assert "frame-ancestors 'none'" in policy
                found = {name: answer.headers[name] for name in HEADERS}
                assert found == HEADERS | {"Content-Security-Policy": policy}
                assert "Server" not in answer.headers


async def test_nothing_but_looking_is_possible() -> None:
    async with served(View()) as session:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with session.request(method, "/metrics") as answer:
                assert answer.status == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8410", "127.0.0.1.evil.example", "localhost.evil", ""])
async def test_a_page_that_rebinds_its_name_to_this_address_sees_nothing(host: str) -> None:
    async with served(View()) as session:
        assert (await fetched(session, "/metrics", Host=host))[0] == 421
        assert (await fetched(session, "/livez", Host=host))[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:8410", "10.2.3.4", "[::1]", "[::1]:8410"])
async def test_it_is_asked_by_ip_address_or_localhost(host: str) -> None:
    async with served(View()) as session:
        assert (await fetched(session, "/metrics", Host=host))[0] == 200


async def test_with_a_token_only_probes_are_open_and_they_tell_no_details() -> None:
    async with served(View(), token=TOKEN) as session:
        assert await fetched(session, "/readyz?verbose") == (200, "ok\n")
        for given in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer \xe9"):
            code, text = await fetched(session, "/metrics", Authorization=given)
            assert (code, TOKEN in text) == (401, False)
        assert (await fetched(session, "/metrics", Authorization=f"Bearer {TOKEN}"))[0] == 200
        named = await fetched(session, "/metrics", Authorization=f"bearer {TOKEN}", Host="syncd.default.svc:8410")
        assert named[0] == 200
        assert "loop" in (await fetched(session, "/readyz?verbose", Authorization=f"Bearer {TOKEN}"))[1]


async def test_a_browser_shows_the_token_once() -> None:
    """And is told apart from a page of another host that sends the same cookie."""
    page = {"Accept": "text/html"}
    async with served(View(), token=TOKEN) as session:
        async with session.get("/", headers=page, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/login")
        async with session.post("/login", data={"token": TOKEN + "x"}, allow_redirects=False) as answer:
            assert answer.status == 403
        async with session.post("/login", data={"token": TOKEN}, allow_redirects=False) as answer:
            assert answer.status == 303
            cookie = answer.headers["Set-Cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
        kept = {"Cookie": cookie.partition(";")[0]}
        async with session.get("/metrics", headers=kept) as answer:
            assert answer.status == 200
        for origin in ("http://evil.example", "null"):
            async with session.post("/logout", headers={**kept, "Origin": origin}) as answer:
                assert answer.status == 403
        async with session.post("/do/rescan", headers={**kept, "Sec-Fetch-Site": "cross-site"}) as answer:
            assert answer.status == 403
        async with session.post("/logout", headers=kept, allow_redirects=False) as answer:
            assert answer.status == 303
        async with session.get("/metrics", headers=kept) as answer:
            assert answer.status == 401


async def test_what_only_shows_does_nothing_whoever_asks() -> None:
    async with served(View(), token=TOKEN) as session:
        for what in ("snapshot", "pin", "approve", "discard", "rescan"):
            shown = {"Authorization": f"Bearer {TOKEN}"}
            async with session.post(f"/do/{what}", headers=shown, data={"reason": "x"}) as answer:
                assert answer.status == 403


async def test_an_error_is_told_in_words_and_a_view_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.web.application.ANSWER_S", 0.2)
    view = View()
    async with served(view) as session:
        view.error = JournalError("the journal cannot be read", cause="the disk is full")
        assert await fetched(session, "/metrics") == (503, "the journal cannot be read. the disk is full.\n")
        view.error, view.never = None, True
        assert (await fetched(session, "/metrics"))[0] == 503
        assert (await fetched(session, "/livez"))[0] == 200


async def test_few_connections_at_a_time_and_none_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "LONGEST_CONNECTION_S", 0.5)
    monkeypatch.setattr(web_server, "SWEEP_EVERY_S", 0.1)
    async with web_server.serve(View(), Listen("127.0.0.1", 0)) as port:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(web_server.MOST_CONNECTIONS)]
        for _, writer in opened:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")  # and never the end of it
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        for each, _ in opened:  # hung up on, so that others have their turn
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(each.read(), 10) == b""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            assert await fetched(session, "/livez") == (200, "ok\n")
        for _, one in opened:
            one.close()


async def test_a_port_that_is_taken_is_an_error_and_one_left_is_free_again() -> None:
    async with web_server.serve(View(), Listen("127.0.0.1", 0)) as port:
        with pytest.raises(OSError, match=str(port)):
            async with web_server.serve(View(), Listen("127.0.0.1", port)):
                pass
    async with web_server.serve(View(), Listen("127.0.0.1", port)) as again:
        assert again == port


async def test_metrics_are_what_status_says() -> None:
    view = View(
        status(
            state="waiting",
            pending={
                "upload": 3,
                "upload_bytes": 700,
                "delete": 2,
                "uncommitted": 9,
                "since": HOUR,
            },
            snapshot={"created_at": "2026-11-27T07:00:00+00:00", "images": 50, "bytes": 12_000},
            sources=[
                {
                    "name": "images",
                    "available": True,
                    "complete": False,
                    "settling": 4,
                    "degraded": "no events",
                    "losses": 2,
                    "watchers": 3,
                }
            ],
            tables=[{"name": "labels", "rows": 60, "missing": 5, "orphaned": None, "read_at": None}],
            not_synced={"images": {"unreadable": 7}},
        )
    )
    view.tallies.objects.update(uploaded=11, refused=1)
    view.tallies.uploaded_bytes = 4711
    view.tallies.snapshots["quiet"] += 2
    view.tallies.failures["transient"] += 6
    view.tallies.retries, view.tallies.holds = 5, 1
    for seconds in (0.001, 0.02, 400.0):
        view.tallies.request("s3", "PutObject", "ok", seconds)
    async with served(view) as session:
        _, text = await fetched(session, "/metrics")
    found = samples(text)
    assert {name: value for name, value in found.items() if name[0] == "syncd_state" and value} == {
        ("syncd_state", ("waiting",)): 1
    }
    expected = {
        ("syncd_pending_changes", ("upload",)): 3,
        ("syncd_pending_changes", ("delete",)): 2,
        ("syncd_pending_bytes", ()): 700,
        ("syncd_uncommitted_changes", ()): 9,
        ("syncd_snapshot_images", ()): 50,
        ("syncd_source_complete", ("images",)): 0,
        ("syncd_source_degraded", ("images",)): 1,
        ("syncd_source_settling", ("images",)): 4,
        ("syncd_event_losses_total", ("images",)): 2,
        ("syncd_watcher_starts_total", ("images",)): 3,
        ("syncd_table_missing", ("labels",)): 5,
        ("syncd_table_orphaned", ("labels",)): 0,
        ("syncd_not_synced", ("unreadable", "images")): 7,
        ("syncd_objects_total", ("uploaded",)): 11,
        ("syncd_uploaded_bytes_total", ()): 4711,
        ("syncd_snapshots_total", ("quiet",)): 2,
        ("syncd_failures_total", ("transient",)): 6,
        ("syncd_retries_total", ()): 5,
        ("syncd_holds_total", ()): 1,
        ("syncd_request_duration_seconds_count", ("s3", "PutObject", "ok")): 3,
        ("syncd_request_duration_seconds_bucket", ("s3", "0.003", "PutObject", "ok")): 1,
        ("syncd_request_duration_seconds_bucket", ("s3", "0.03", "PutObject", "ok")): 2,
        ("syncd_request_duration_seconds_bucket", ("s3", "300.0", "PutObject", "ok")): 2,
        ("syncd_request_duration_seconds_bucket", ("s3", "+Inf", "PutObject", "ok")): 3,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["syncd_oldest_pending_age_seconds", ()] > 0
    assert found["syncd_last_snapshot_timestamp_seconds", ()] == 1795762800


async def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with served(View()) as session, session.get("/metrics", headers=asked) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")


async def test_no_metric_is_labelled_by_path_and_every_state_has_one() -> None:
    async with served(View()) as session:
        _, text = await fetched(session, "/metrics")
    families = [family for family in text_string_to_metric_families(text) if family.name.startswith("syncd_")]
    labels = {name for family in families for sample in family.samples for name in sample.labels}
    assert labels <= {"state", "change", "source", "reason", "table", "result", "trigger", "kind", "version", "le"}
    assert {sample[1][0] for sample in samples(text) if sample[0] == "syncd_state"} == {state.value for state in State}
    assert all(family.documentation for family in families)


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return every sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
