"""What failed requests mean, in words."""

from __future__ import annotations

import errno
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from syncd.errors import (
    ConflictStoreError,
    ContentChangedStoreError,
    NeedsPersonStoreError,
    NotFoundStoreError,
    NothingToCommitError,
    PermanentStoreError,
    StoreError,
    TransientStoreError,
)
from syncd.store.fault_table import BY_CODE, BY_STATUS, BY_WORDS
from syncd.store.translate import LONGEST_QUOTE, Answer, BodyError, Place, not_lakefs, refused, unreachable

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
PLACE = Place(endpoint="http://user:hidden@lakefs:8000", repository="photos", branch="staging")
DOING = "storing images/1.jpg"


def error_for(status: int, code: str = "", message: str = "", **headers: str) -> StoreError:
    answer = Answer(status=status, code=code, message=message, headers=headers)
    return refused(answer, DOING, PLACE, now=NOW)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (404, "NoSuchBucket", "", NeedsPersonStoreError),
        (404, "NoSuchKey", "", NotFoundStoreError),
        (403, "ErrWriteToProtectedBranch", "", NeedsPersonStoreError),
        (403, "ErrReadOnlyRepository", "", NeedsPersonStoreError),
        (403, "SignatureDoesNotMatch", "", NeedsPersonStoreError),
        (403, "AccessDenied", "", NeedsPersonStoreError),
        (403, "RequestTimeTooSkewed", "", NeedsPersonStoreError),
        (403, "", "", NeedsPersonStoreError),
        (400, "MissingFields", "", NeedsPersonStoreError),
        (400, "MetadataTooLarge", "", PermanentStoreError),
        (404, "ErrNoSuchBucketPossibleAPIEndpoint", "", NeedsPersonStoreError),
        (503, "SlowDown", "", TransientStoreError),
        (500, "InternalError", "", TransientStoreError),
        (501, "NotImplemented", "", PermanentStoreError),
        (599, "", "", TransientStoreError),
        (418, "", "", PermanentStoreError),
        (400, "", "commit: no changes", NothingToCommitError),
        (400, "", "update branch main: no changes", NothingToCommitError),
        (400, "", "main: uncommitted changes (dirty branch)", NeedsPersonStoreError),
        (400, "", "found lakeFS objects: storage namespace already in use", NeedsPersonStoreError),
        (400, "", "argument tagID: tag id: invalid value: validation error", PermanentStoreError),
        (401, "", "error authenticating request", NeedsPersonStoreError),
        (403, "", "cannot commit to protected branch", NeedsPersonStoreError),
        (404, "", "branch not found", NotFoundStoreError),
        (409, "", "tag already exists: not unique", ConflictStoreError),
        (412, "", "pre-commit hook aborted", NeedsPersonStoreError),
        (423, "", "", TransientStoreError),
        (429, "", "Too many attempts", TransientStoreError),
        (500, "", "predicate failed", TransientStoreError),
        (500, "", "1 error occurred: parsing file _lakefs_actions/a.yaml: yaml", NeedsPersonStoreError),
    ],
)
def test_an_answer_means(status: int, code: str, message: str, kind: type[StoreError]) -> None:
    error = error_for(status, code, message)
    assert type(error) is kind
    assert DOING in error.fact
    assert message in error.fact


def test_every_rule_fills_in_its_words_and_tells_a_person_what_to_do() -> None:
    """P8: what waits for someone says what for."""
    rules = [*BY_CODE.values(), *(rule for _, _, rule in BY_WORDS), *BY_STATUS.values()]
    for rule in rules:
        filled = rule.cause.format(repository="r", branch="b", address="a")
        filled += rule.next_step.format(repository="r", branch="b", address="a")
        assert "{" not in filled
        if rule.error is NeedsPersonStoreError:
            assert rule.cause
            assert rule.next_step
    assert not_lakefs(DOING, PLACE).next_step


@pytest.mark.parametrize("answer", [Answer(status=403), Answer(status=403, code="AccessDenied")])
@pytest.mark.parametrize(
    ("off", "words"), [(timedelta(hours=-1), "3600 s behind"), (timedelta(hours=1), "3600 s ahead of")]
)
def test_a_clock_that_is_off_is_named_with_its_distance(answer: Answer, off: timedelta, words: str) -> None:
    dated = Answer(status=403, code=answer.code, headers={"date": format_datetime(NOW - off, usegmt=True)})
    error = refused(dated, DOING, PLACE, now=NOW)
    assert isinstance(error, NeedsPersonStoreError)
    assert words in error.cause
    assert "clock" in error.next_step


@pytest.mark.parametrize("date", ["", "yesterday", format_datetime(NOW - timedelta(minutes=2), usegmt=True)])
def test_a_clock_that_is_right_or_unknown_is_not_blamed(date: str) -> None:
    error = error_for(403, "SignatureDoesNotMatch", date=date)
    assert "clock" not in str(error)
    assert "secret" in error.cause


@pytest.mark.parametrize(("value", "expected"), [("7", 7.0), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
def test_what_the_server_asks_to_wait_is_kept(value: str, expected: float | None) -> None:
    error = error_for(503, **{"retry-after": value})
    assert isinstance(error, TransientStoreError)
    assert error.retry_after_s == expected


def test_neither_a_password_in_the_address_nor_control_characters_are_quoted() -> None:
    error = error_for(400, message="bad\x1b[31m thing\n" + "x" * 1000)
    assert "hidden" not in str(error)
    assert "http://lakefs:8000" in str(error)
    assert "\x1b" not in str(error)
    assert len(error.fact) < LONGEST_QUOTE + 200


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), TransientStoreError, "is lakeFS running?"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), TransientStoreError, "lost"),
        (socket.gaierror(-2, "unknown"), TransientStoreError, "was not found"),
        (TimeoutError(), TransientStoreError, "in time"),
        (ssl.SSLError(1, "handshake failure"), NeedsPersonStoreError, "ca_file"),
        (ssl.SSLEOFError(8, "EOF in the handshake"), TransientStoreError, "lost"),
        (BodyError("The file could not be read"), ContentChangedStoreError, "could not be read"),
    ],
)
def test_the_cause_of_a_lost_connection_is_found_below_what_a_library_raised(
    cause: BaseException, kind: type[StoreError], words: str
) -> None:
    middle, outermost = RuntimeError("the library's transport"), LookupError("the library")
    middle.__cause__, outermost.__context__ = cause, middle
    error = unreachable(outermost, DOING, PLACE)
    assert type(error) is kind
    assert words in str(error)
    assert DOING in error.fact


def test_a_certificate_that_is_not_trusted_is_named() -> None:
    refusal = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refusal.verify_message = "self-signed certificate"
    error = unreachable(refusal, DOING, PLACE)
    assert "self-signed certificate" in error.cause
