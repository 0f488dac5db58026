"""What a failed request to lakeFS means: the one place where answers and lost connections become syncd's errors.

Pure but for the words: a table of the server's error codes, a table of the words in its API's messages, a table of
HTTP status codes, and the few faults a connection can have. The first that fits decides. Knows neither botocore nor
urllib3: ``s3_gateway`` and ``lakefs_api`` say what was answered, and everything else is found by walking an
exception's causes down to those of the standard library.
"""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from syncd.errors import ContentChangedStoreError, NeedsPersonStoreError, TransientStoreError
from syncd.store.fault_table import BY_CODE, BY_STATUS, BY_WORDS, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncd.errors import StoreError

CLOCK_TOLERANCE = timedelta(minutes=5)  # lakeFS refuses from 15 on; from here the clock is worth naming
LONGEST_QUOTE = 300  # characters of a server's message that go into an error
_OTHER_NAME = "set lakefs.endpoint to a name that is in the certificate, or have one made that holds this name"
_CERTIFICATE_STEPS = {  # source: OpenSSL's x509_vfy.h
    9: "set this machine's clock (timedatectl set-ntp true); if it is right, the server's certificate is too new",
    10: "renew the server's certificate; if it is good, set this machine's clock (timedatectl set-ntp true)",
    62: _OTHER_NAME,
    64: _OTHER_NAME,  # the name is an IP address
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where requests go, for the words of an error."""

    endpoint: str
    repository: str
    branch: str = ""

    @property
    def address(self) -> str:
        """The endpoint without a user name or password in it."""
        parts = urlsplit(self.endpoint)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is not the one hoped for."""

    status: int
    code: str = ""  # the S3 error code, or "" where the answer has none
    message: str = ""  # the server's own words
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    from_lakefs: bool = True  # False: the body is not what lakeFS would send; a proxy or another server answered


def answer_in_json(status: int, headers: Mapping[str, str], text: bytes | str) -> Answer:
    """Return what lakeFS's own API answered; its errors are JSON."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    is_object = isinstance(body, dict)
    return Answer(
        status=status,
        message=str(body.get("message", "")) if is_object else "",
        headers={name.lower(): value for name, value in headers.items()},
        from_lakefs=is_object,
    )


class BodyError(Exception):
    """Raised while a body is read for sending; the text is the cause, as a sentence."""


class RefusedError(Exception):
    """The server answered, and not what was hoped for.

    Args:
        answer: What it said.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.code} {answer.message}".strip())
        self.answer = answer


class LostError(Exception):
    """There is no answer; the causes of this say why."""


def refused(answer: Answer, doing: str, place: Place, *, now: datetime | None = None) -> StoreError:
    """Return the error that an answer stands for.

    Args:
        answer: What the server said.
        doing: What was tried, as "storing images/1.jpg".
        place: Where it was sent.
        now: The local time, to compare with the server's; None: read the clock.
    """
    skew = _clock_skew(answer, now or datetime.now(UTC))
    if answer.status == 403 and skew is not None:  # noqa: PLR2004  # the code may be missing (HEAD) or a bare AccessDenied
        return _build(_clock_rule(skew), answer, doing, place)
    return _build(_find_rule(answer), answer, doing, place)


def unreachable(error: BaseException, doing: str, place: Place) -> StoreError:
    """Return the error that a request without an answer stands for.

    Args:
        error: What the client library raised; its causes are searched, and decide.
        doing: What was tried.
        place: Where it was sent.
    """
    for cause in reversed(list(_causes(error))):  # the innermost says most
        match cause:
            case BodyError():
                return ContentChangedStoreError(f"syncd gave up {doing}", cause=str(cause))
            case socket.gaierror():
                return _lost(
                    f"The name of {place.address} was not found",
                    doing,
                    cause="The host name is wrong, or the network or its name server is down",
                    next_step="check lakefs.endpoint in the configuration",
                )
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError():  # cut off, as any connection may be
                break
            case ssl.SSLError():
                return NeedsPersonStoreError(
                    f"lakeFS at {place.address} is not trusted, so syncd gave up {doing}",
                    cause=_tls_cause(cause),
                    next_step=_tls_step(cause),
                )
            case ConnectionRefusedError():
                return _lost(
                    f"Nothing answers at {place.address}",
                    doing,
                    cause="lakeFS is not running there, or it listens elsewhere",
                    next_step=f"is lakeFS running? Try: curl {place.address}/_health",
                )
            case TimeoutError():
                return _lost(
                    f"lakeFS at {place.address} did not answer in time",
                    doing,
                    cause="The server is overloaded, or the network drops packets. It may have done it all the same",
                    next_step=f"look at the server's load, and at the way there: curl {place.address}/_health",
                )
    return _lost(
        f"The connection to {place.address} was lost",
        doing,
        cause=_quote(str(error)),
        next_step=f"syncd tries again by itself. If it goes on: curl {place.address}/_health",
    )


def not_lakefs(doing: str, place: Place) -> StoreError:
    """Return the error for an answer that no lakeFS server gives."""
    return _build(_NOT_LAKEFS, Answer(status=0), doing, place)


def require_name(fault: str | None, repository: str, setting: str) -> None:
    """Refuse a name that lakeFS would refuse without saying why, or accept and then not work with.

    Args:
        fault: What is wrong with it; None: nothing.
        repository: The one to be created.
        setting: Where the name is set.
    """
    if fault:
        raise NeedsPersonStoreError(
            f"The repository {repository!r} does not exist and cannot be created",
            cause=fault.capitalize(),
            next_step=f"set {setting}",
        )


def _find_rule(answer: Answer) -> Rule:
    if rule := BY_CODE.get(answer.code):
        return rule
    for status, words, rule in BY_WORDS:
        if answer.status == status and words in answer.message:
            return rule
    if not answer.from_lakefs and 300 <= answer.status < 500:  # noqa: PLR2004  # a proxy's 5xx and 429 are honest ones
        return BY_STATUS[answer.status] if answer.status in (407, 408, 413, 429) else _NOT_LAKEFS
    fallback = BY_STATUS[500] if answer.status >= 500 else BY_STATUS[400]  # noqa: PLR2004
    return BY_STATUS.get(answer.status, fallback)


def _build(rule: Rule, answer: Answer, doing: str, place: Place) -> StoreError:
    said = _quote(answer.message) or answer.code
    heading = f"lakeFS at {place.address} refused {doing}"
    if issubclass(rule.error, TransientStoreError):
        heading = f"lakeFS at {place.address} failed when {doing}"
    status = f" ({answer.status}{f': {said}' if said else ''})" if answer.status else ""
    words = {"repository": place.repository, "branch": place.branch or "BRANCH", "address": place.address}
    cause, next_step = (text.format_map(words) for text in (rule.cause, rule.next_step))
    if issubclass(rule.error, TransientStoreError):
        return rule.error(heading + status, cause=cause, next_step=next_step, retry_after_s=_retry_after_s(answer))
    return rule.error(heading + status, cause=cause, next_step=next_step)


_NOT_LAKEFS = Rule(
    NeedsPersonStoreError,
    "The answer is not one that lakeFS gives: the address belongs to another server or to a proxy, has a path in it, or"
    " says http:// where https:// is spoken",
    "set lakefs.endpoint to the server's own address, without /api/v1; curl {address}/_health answers 'alive!'",
)


def _clock_rule(skew: timedelta) -> Rule:
    seconds = round(skew.total_seconds())
    return Rule(
        NeedsPersonStoreError,
        f"This machine's clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the server's,"
        " and requests signed more than 15 minutes off are refused",
        "set the clock (timedatectl set-ntp true) on whichever machine is wrong",
    )


def _clock_skew(answer: Answer, now: datetime) -> timedelta | None:
    """Return how far the local clock is ahead of the server's, or None if it is close or unknown."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    if theirs.tzinfo is None:
        return None
    skew = now - theirs
    return skew if abs(skew) > CLOCK_TOLERANCE else None


def _retry_after_s(answer: Answer) -> float | None:
    """Return the seconds in a Retry-After header; its other form, a date, is not used by lakeFS and ignored."""
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def _lost(fact: str, doing: str, *, cause: str, next_step: str = "") -> TransientStoreError:
    return TransientStoreError(f"{fact} when {doing}", cause=cause, next_step=next_step)


def _tls_cause(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The server's certificate was not accepted: {_quote(error.verify_message)}"
    reason = getattr(error, "reason", None)  # only OpenSSL sets it
    if reason == "WRONG_VERSION_NUMBER":
        return "The server there does not speak TLS"
    return f"TLS failed: {reason or 'unknown reason'}"


def _tls_step(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", 0)  # only OpenSSL sets it
        return _CERTIFICATE_STEPS.get(code, "if a private authority signed it, set lakefs.ca_file to its PEM file")
    return "set lakefs.ca_file for a private certificate, or http:// for a server without TLS"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what caused it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _quote(text: str) -> str:
    """Return a server's words fit for one line of a terminal."""
    line = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(line.split())
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"
