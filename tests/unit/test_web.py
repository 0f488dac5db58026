"""The HTTP side with a real server and a real client, and a view that the test holds."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
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
from syncd.web.live import Live
from syncd.window import Listen, Shelf

HOUR = "2026-11-27T08:00:00+00:00"
TOKEN = "0123456789abcdef"


def status(**changed: Any) -> dict[str, Any]:
    return {
        "state": "idle",
        "since": HOUR,
        "why": "in step with the source",
        "next_step": "",
        "next_decision_at": None,
        "in_step_at": "2026-11-27T08:10:00+00:00",
        "pending": {"upload": 0, "upload_bytes": 0, "delete": 0, "uncommitted": 0, "since": None},
        "snapshot": None,
        "retention": {"failure": "", "faults": []},
        "configuration": {"fault": "", "at_next_start": []},
        "http": {"address": "", "fault": ""},
        "sources": [],
        "tables": [],
        "not_synced": {},
        "problems": [],
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
        self.shelf = EMPTY_SHELF
        self.actions: Any = None
        self.error: Exception | None = None
        self.never = False
        self.looks: asyncio.Queue[None] = asyncio.Queue()

    async def status(self) -> dict[str, Any]:
        self.looks.put_nowait(None)
        if self.never:
            await asyncio.get_running_loop().create_future()
        if self.error is not None:
            raise self.error
        return self.shown

    def health(self) -> dict[str, Any]:
        loop = {"name": "loop", "ok": True, "why": ""}
        lakefs = {"name": "lakefs", "ok": self.ok, "why": self.why}
        return {"live": {"ok": True, "checks": [loop]}, "ready": {"ok": self.ok, "checks": [loop, lakefs]}}


class Asked:
    """``Actions`` that answer a snapshot call as the test says, once it lets them."""

    def __init__(self, **answer: Any) -> None:
        self.answer_ = {"tag": None, "left_out": [], "held": "", **answer}
        self.begun, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def held(self) -> dict[str, Any]:
        return {"images": None, "tables": {}, "branch": None}

    async def snapshot(self, reason: str) -> dict[str, Any]:  # noqa: ARG002 - as the real one
        self.begun.set()
        await self.may_answer.wait()
        return self.answer_


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


async def snapshot_asked(**answer: Any) -> tuple[int, str]:
    view = View()
    view.actions = Asked(**answer)
    shown = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"}
    async with (
        served(view, token=TOKEN) as session,
        session.post("/do/snapshot", headers=shown, data={"reason": "x"}) as said,
    ):
        return said.status, await said.text()


async def test_a_snapshot_that_was_asked_for_is_named() -> None:
    code, text = await snapshot_asked(tag="snap-1")
    assert (code, "The newest snapshot is snap-1: it holds all that was there when you asked." in text) == (200, True)


async def test_a_snapshot_that_is_held_back_is_an_error_that_names_what_is_held() -> None:
    code, text = await snapshot_asked(held="40 of 60 images are gone from the source")
    assert (code, "40 of 60 images are gone from the source" in text) == (409, True)
    assert "The newest snapshot" not in text


async def test_where_there_was_never_anything_to_commit_no_snapshot_is_named() -> None:
    code, text = await snapshot_asked()
    assert (code, "There is nothing to commit: no snapshot has been made yet." in text) == (200, True)


async def test_what_a_snapshot_leaves_out_is_counted_and_the_first_ten_are_named() -> None:
    paths = [{"path": f"images/{number:02}.png", "reason": f"still <changing> {number}"} for number in range(12)]
    code, text = await snapshot_asked(tag="snap-1", left_out=paths)
    assert (code, "holds all that was there when you asked, but for 12 paths" in text) == (200, True)
    assert re.findall(r"images/(\d\d)\.png</bdi>: still &lt;changing&gt;", text) == [f"{one:02}" for one in range(10)]
    assert "and 2 more" in text


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


async def test_a_connection_that_waits_for_what_it_asked_for_is_not_ended_for_its_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_server, "LONGEST_CONNECTION_S", 0.3)
    monkeypatch.setattr(web_server, "SWEEP_EVERY_S", 0.05)
    view, shown = View(), {"Authorization": f"Bearer {TOKEN}"}
    view.actions = asked = Asked(tag="snap-1")
    asked.may_answer.clear()
    async with (
        web_server.serve(view, Listen("127.0.0.1", 0, TOKEN)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        asking = asyncio.create_task(session.post("/do/snapshot", headers=shown, data={"reason": "x"}))
        await asyncio.wait_for(asked.begun.wait(), 10)
        younger = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        followed = f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        younger[1][1].write(followed.encode())
        assert (await younger[1][0].readline()).startswith(b"HTTP/1.1 200 ")
        for reader, writer in younger:  # they do nothing, or follow for ever: their end comes
            with contextlib.suppress(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 10)
            writer.close()
        asked.may_answer.set()
        async with await asking as answer:
            assert (answer.status, "snap-1" in await answer.text()) == (200, True)


async def test_strangers_do_not_lock_out_who_comes_through_the_socket_and_neither_side_is_unbounded(
    tmp_path: Path,
) -> None:
    path = tmp_path / "page.sock"
    async with web_server.serve(View(), Listen("127.0.0.1", 0, TOKEN, path)) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(web_server.MOST_CONNECTIONS)]
        assert await said_to(*await asyncio.open_connection("127.0.0.1", port)) == 503
        assert await said_to(*await asyncio.open_unix_connection(path)) == 200
        idle += [await asyncio.open_unix_connection(path) for _ in range(web_server.MOST_CONNECTIONS)]
        assert await said_to(*await asyncio.open_unix_connection(path)) == 503
        for _, writer in idle:
            writer.close()


async def said_to(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = b"") -> int:
    """Return the status of the answer to a request as it is written, else to one that everybody may make."""
    writer.write(request or b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        await writer.drain()
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    return int(line.split()[1])


FORM = b"Content-Type: application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("code", "lines", "body"),
    [
        (400, [b"GET /livez HTTP/1.1", b"Host: a:99999"], b""),
        (400, [b"GET /livez HTTP/1.1", b"Host: localhost:99999"], b""),
        (400, [b"GET /livez HTTP/1.1", b"Host: localhost:x"], b""),
        (400, [b"GET /livez HTTP/1.1", b"Host: [::1"], b""),
        (421, [b"GET /livez HTTP/1.1", b"Host: \xff"], b""),
        (401, [b"GET /metrics HTTP/1.1", b"Host: localhost", b"Authorization: Bearer \xff"], b""),
        (401, [b"GET /metrics HTTP/1.1", b"Host: localhost", b"Cookie: syncd-80=\xff"], b""),
        (403, [b"POST /logout HTTP/1.1", b"Host: localhost", b"Origin: http://["], b""),
        (400, [b"POST /login HTTP/1.1", b"Host: localhost", FORM], b"token=\xff"),
        (403, [b"POST /login HTTP/1.1", b"Host: localhost", FORM], b"token=%FF"),
        (415, [b"POST /login HTTP/1.1", b"Host: localhost", FORM + b"; charset=nonsense"], b"token=x"),
        (415, [b"POST /login HTTP/1.1", b"Host: localhost", FORM + b"; charset=punycode"], b"token=x"),
        (403, [b"POST /login HTTP/1.1", b"Host: localhost", FORM + b"; charset=UTF-8"], b"token=x"),
        (415, [b"POST /login HTTP/1.1", b"Host: localhost", b"Content-Type: multipart/form-data; boundary=x"], b"y"),
        (400, [b"POST /login HTTP/1.1", b"Host: localhost", FORM, b"Content-Encoding: deflate"], b"token=x"),
        (413, [b"POST /login HTTP/1.1", b"Host: localhost", FORM], b"&a=b" * 10_000),
    ],
)
async def test_what_strangers_send_never_is_a_fault_of_ours(code: int, lines: list[bytes], body: bytes) -> None:
    length = f"Content-Length: {len(body)}".encode()
    request = b"\r\n".join([*lines, length, b"Connection: close", b"", body])
    async with web_server.serve(View(), Listen("127.0.0.1", 0, TOKEN)) as port:
        assert await said_to(*await asyncio.open_connection("127.0.0.1", port), request) == code


async def test_a_body_that_cannot_be_unpacked_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    packed = [b"Content-Encoding: gzip", b"Content-Length: 9", b"Expect: 100-continue"]
    lines = [b"POST /login HTTP/1.1", b"Host: localhost", FORM, *packed, b"", b""]
    async with web_server.serve(View(), Listen("127.0.0.1", 0, TOKEN)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\r\n".join(lines))
        assert await asyncio.wait_for(reader.readline(), 10) == b"HTTP/1.1 100 Continue\r\n"
        await reader.readline()
        assert await said_to(reader, writer, b"not of it") == 400
    assert caplog.records == []


async def test_what_is_no_http_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with web_server.serve(View(), Listen("127.0.0.1", 0, TOKEN)) as port:
        assert await said_to(*await asyncio.open_connection("127.0.0.1", port), b"GET / HTTP/1.1\r\n x\r\n\r\n") == 400
    assert caplog.records == []


STATE = re.compile(r'data-state="(\w+)"')


async def next_change(stream: aiohttp.ClientResponse) -> str:
    """Return the state that an open page is told of next."""
    async for line in stream.content:
        if line.startswith(b"data: "):
            return line.removeprefix(b"data: ").decode().strip()
    raise AssertionError("the stream has ended")


async def test_a_page_on_which_nothing_happens_is_told_once_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time alone, of which in_step_at and a table that is read again tell, changes nothing on it."""
    monkeypatch.setattr("syncd.web.live.EVERY_S", 0.01)
    table = {"name": "labels", "rows": 60, "missing": None, "orphaned": None}
    view = View(status(tables=[{**table, "read_at": "2026-11-27T08:10:00.123456+00:00"}]))
    async with served(view) as session:
        shown = STATE.findall((await fetched(session, "/"))[1])
        async with session.get("/events") as stream:
            told = [await next_change(stream)]
            view.shown = status(
                in_step_at="2026-11-27T08:10:01.654321+00:00",
                tables=[{**table, "read_at": "2026-11-27T08:10:01.654321+00:00"}],
            )
            view.looks = asyncio.Queue()
            for _ in range(3):  # by the third, two have been told of
                await asyncio.wait_for(view.looks.get(), 10)
            view.shown = status(state="waiting")
            told.append(await next_change(stream))
        assert told == [*shown, *STATE.findall((await fetched(session, "/now"))[1])]


async def test_a_page_that_joins_others_is_told_at_once_of_what_changed_since_it_was_made() -> None:
    view = View()
    async with served(view) as session, session.get("/events") as first:
        made = STATE.findall((await fetched(session, "/"))[1])
        assert [await next_change(first)] == made
        view.shown = status(state="waiting")
        changed = await next_change(first)
        async with session.get("/events") as second:
            assert await next_change(second) == changed
    assert [changed] != made


async def test_who_is_slow_to_read_gets_the_newest_state_and_not_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.web.live.EVERY_S", 0.01)
    view = View()
    async with Live(view) as live, live.changes() as quick, live.changes() as slow:
        states = []
        for word in ("waiting", "uploading", "idle"):
            view.shown = status(state=word)
            states.append(await asyncio.wait_for(quick.get(), 10))
        assert await asyncio.wait_for(slow.get(), 10) == states[-1]


async def test_a_port_that_is_taken_is_an_error_and_one_left_is_free_again() -> None:
    async with web_server.serve(View(), Listen("127.0.0.1", 0)) as port:
        with pytest.raises(OSError, match=str(port)):
            async with web_server.serve(View(), Listen("127.0.0.1", port)):
                pass
    async with web_server.serve(View(), Listen("127.0.0.1", port)) as again:
        assert again == port


async def test_where_pictures_cannot_be_kept_all_else_is_served(tmp_path: Path) -> None:
    view = View()
    view.shelf = replace(EMPTY_SHELF, pictures=tmp_path)  # a folder, where the file should be
    async with served(view) as session:
        assert await fetched(session, "/livez") == (200, "ok\n")


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
