"""What goes over the wire to a webhook and a ping, with real servers, and what comes of each kind of answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import structlog
import trustme

from syncd.notify import http
from syncd.notify.delivery import Patience, UndeliveredError
from syncd.notify.events import Kind
from syncd.notify.lane import Lane
from syncd.notify.notice import Notice
from syncd.notify.ping import Ping, Pinger
from syncd.notify.webhook import Webhook
from syncd.service import logs
from tests.support.receivers import NEVER, receiving
from tests.support.tls_front import tls_front

SECRET = "canary-Signing+0123456789"
NOTICE = Notice(id="7", kind=Kind.HOLD, body=b'{"id": "7", "text": "\\u00fc"}', made_s=0.0)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], level = before
    root.setLevel(level)


async def refused(sender: Webhook) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as caught:
        await sender.send(NOTICE)
    assert "canary" not in str(caught.value)
    return caught.value


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_receiver_can_make_sure_whom_it_is_from_in_five_lines() -> None:
    with receiving() as receiver:
        await Webhook(url=receiver.url, secret=SECRET).send(NOTICE)
        (request,) = receiver.came
    headers, body, secret = request.headers, request.body, SECRET
    signed = headers["X-Syncd-Timestamp"].encode() + b"." + body
    expected = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(headers["X-Syncd-Signature"], expected)
    assert abs(time.time() - int(headers["X-Syncd-Timestamp"])) < 300
    assert json.loads(body) == {"id": "7", "text": "ü"}
    assert (request.method, request.path) == ("POST", "/canary-T0123456789")
    assert (headers["Content-Type"], headers["X-Syncd-Event"]) == ("application/json", "hold")


async def test_without_a_secret_nothing_is_signed() -> None:
    with receiving() as receiver:
        await Webhook(url=receiver.url).send(NOTICE)
    assert not [name for name in receiver.came[0].headers if "Signature" in name or "Timestamp" in name]


@pytest.mark.parametrize(
    ("status", "again"),
    [(200, None), (204, None), (500, True), (503, True), (429, True), (400, False), (404, False), (410, False)],
)
async def test_which_answers_are_worth_another_try(status: int, again: bool | None) -> None:
    with receiving() as receiver:
        receiver.always = status
        if again is None:
            await Webhook(url=receiver.url).send(NOTICE)
        else:
            error = await refused(Webhook(url=receiver.url))
            assert (error.again, str(error)) == (again, f"the answer was {status}")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_nothing_is_sent_where_an_answer_leads(status: int) -> None:
    with receiving() as elsewhere, receiving(status, headers={"Location": elsewhere.url}) as receiver:
        assert not (await refused(Webhook(url=receiver.url, secret=SECRET))).again
    assert elsewhere.came == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("soon", None),
        ("-3", None),
        ("9" * 5000, 9999999999),
        ("", None),
    ],
    ids=["7", "120", "soon", "-3", "9s", "blank"],
)
async def test_how_long_the_receiver_asks_to_wait(value: str, seconds: float | None) -> None:
    with receiving(503, headers={"Retry-After": value}) as receiver:
        found = (await refused(Webhook(url=receiver.url))).after_s
    assert found == seconds


@pytest.mark.parametrize(("away", "seconds"), [(timedelta(hours=1), 3600), (timedelta(days=-1), 0)])
async def test_the_receiver_may_name_a_moment_to_wait_for(away: timedelta, seconds: float) -> None:
    with receiving(503, headers={"Retry-After": format_datetime(datetime.now(UTC) + away)}) as receiver:
        found = (await refused(Webhook(url=receiver.url))).after_s
    assert found == pytest.approx(seconds, abs=60)


async def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_the_limit() -> None:
    began = time.monotonic()
    with receiving(NEVER) as receiver:
        error = await refused(Webhook(url=receiver.url, limit_s=0.3))
    assert (error.again, str(error)) == (True, "there was no answer within 0.3 s")
    assert time.monotonic() - began < 5


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A status line at once, then a body without end."""
    with contextlib.suppress(ConnectionError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"x" * 65536)
            await writer.drain()
    writer.close()


async def test_of_an_endless_answer_only_its_beginning_counts() -> None:
    async with await asyncio.start_server(_drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        began = time.monotonic()
        await Webhook(url=f"http://127.0.0.1:{port}/").send(NOTICE)
        assert time.monotonic() - began < 5


async def test_what_is_no_http_and_where_nobody_listens() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await refused(Webhook(url=f"http://127.0.0.1:{port}/canary"))).again
    error = await refused(Webhook(url=f"http://127.0.0.1:{port}/canary"))
    assert (error.again, str(error)) == (True, "no connection: Connection refused")
    error = await refused(Webhook(url="http://canary.invalid/x"))
    assert (error.again, str(error)) == (True, "its name was not found")


async def test_only_a_certificate_of_a_known_authority_gets_the_notice(tmp_path: Path) -> None:
    authority, ca_file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with receiving() as receiver:
        async with tls_front(f"http://127.0.0.1:{receiver.port}", authority.issue_cert("127.0.0.1")) as front:
            await Webhook(url=f"{front.endpoint}/x", ca_file=ca_file).send(NOTICE)
            assert len(receiver.came) == 1
            error = await refused(Webhook(url=f"{front.endpoint}/canary"))
        async with tls_front(f"http://127.0.0.1:{receiver.port}", authority.issue_cert("other.example.com")) as front:
            other = await refused(Webhook(url=f"{front.endpoint}/canary", ca_file=ca_file))
    assert len(receiver.came) == 1
    assert str(error).startswith("its certificate was not accepted: ")
    assert "mismatch" in str(other)
    unfit = await refused(Webhook(url="https://127.0.0.1:1/", ca_file=tmp_path / "absent.pem"))
    assert (unfit.again, str(unfit)) == (False, f"{tmp_path}/absent.pem cannot be used: FileNotFoundError")


async def test_the_tries_go_through_the_real_receiver_with_one_id() -> None:
    with receiving(503, 503) as receiver:
        lane = Lane("webhook", tally := Counter[str](), Patience(first_s=0.01))
        lane.sender = Webhook(url=receiver.url, secret=SECRET)
        running = asyncio.create_task(lane.run())
        notice = Notice(id="7", kind=Kind.HOLD, body=NOTICE.body, made_s=time.monotonic())
        lane.put(notice)
        await until(lambda: tally["sent"])
        running.cancel()
    assert [request.json["id"] for request in receiver.came] == ["7", "7", "7"]


async def test_no_secret_is_logged_at_any_level(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even where logging does not know of it: after a reload it does not."""
    logs.set_up("json", level=logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    with receiving(always=500) as receiver:
        lane = Lane("webhook", tally := Counter[str](), Patience(first_s=0.001, most_s=0.001, tries=3))
        running = asyncio.create_task(lane.run())
        for url in (receiver.url, "http://127.0.0.1:1/canary", "https://canary@127.0.0.1:1/canary"):
            lane.sender = Webhook(url=url, secret=SECRET)
            failed = tally["failed"]
            lane.put(Notice(id="7", kind=Kind.HOLD, body=NOTICE.body, made_s=time.monotonic()))
            await until(lambda failed=failed: tally["failed"] > failed)  # type: ignore[misc]
        running.cancel()
        pinger = Pinger(tally, Ping(url=receiver.url))
        pinger.look(in_step=True, in_trouble=False)
        await until(lambda: tally["failed"] == 4)
    said = capsys.readouterr().err
    assert said.count("notification_failed") == 4
    assert "notification_delayed" in said
    assert "canary" not in said


class Looks:
    """A pinger and its receiver; each look waits until what it sends has arrived."""

    def __init__(self, pinger: Pinger, tally: Counter[str]) -> None:
        self._pinger, self._tally = pinger, tally

    async def look(self, *, in_step: bool = False, in_trouble: bool = False) -> None:
        self._pinger.look(in_step=in_step, in_trouble=in_trouble)
        if self._pinger._sending is not None:
            await asyncio.wait({self._pinger._sending})


async def test_a_ping_goes_out_while_in_step_a_fail_once_per_trouble_and_nothing_else() -> None:
    with receiving() as receiver:
        looks = Looks(Pinger(tally := Counter[str](), Ping(url=f"{receiver.url}?rid=1", every_s=3600)), tally)
        await looks.look()
        assert receiver.paths() == [], "not in step"
        for _ in range(3):
            await looks.look(in_step=True)
        for _ in range(3):
            await looks.look(in_trouble=True)
        await looks.look()
        await looks.look(in_step=True)
        path = "/canary-T0123456789"
        assert receiver.paths() == [f"{path}?rid=1", f"{path}/fail?rid=1", f"{path}?rid=1"]


async def test_a_ping_comes_again_after_its_time() -> None:
    with receiving() as receiver:
        looks = Looks(Pinger(tally := Counter[str](), Ping(url=receiver.url, every_s=0.2)), tally)
        began = time.monotonic()
        while len(receiver.paths()) < 4:
            await looks.look(in_step=True)
            await asyncio.sleep(0.01)
        assert time.monotonic() - began >= 0.6


async def test_a_ping_that_does_not_arrive_is_logged_once_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    with receiving(500, 500, 500) as receiver:
        looks = Looks(Pinger(tally := Counter[str](), Ping(url=receiver.url, every_s=0.01)), tally)
        async with asyncio.timeout(10):
            while not tally["sent"]:
                await looks.look(in_step=True)
                await asyncio.sleep(0.01)
    assert tally == {"failed": 3, "sent": 1}
    said = capsys.readouterr()
    assert (said.out + said.err).count("[warning") <= 1
    assert "ping_arrives_again" in said.out + said.err


def test_the_limit_is_ten_seconds() -> None:
    assert http.LIMIT_S == 10


async def test_a_name_server_that_hangs_takes_no_thread_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(*_: object, **__: object) -> None:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result()

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    hanging = [asyncio.create_task(refused(Webhook(url="http://slow.example.com/", limit_s=0.2))) for _ in range(40)]
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 5) == 1
    found = await asyncio.gather(*hanging)
    released.set()
    assert {str(one) for one in found} == {"there was no answer within 0.2 s"}
