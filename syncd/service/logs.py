"""structlog, set up once: console lines on a terminal, JSON otherwise; on stderr, never a secret."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "********"


def set_up(
    log_format: str,
    *,
    redaction: Redaction | None = None,
    level: int = logging.INFO,
    recorder: Processor | None = None,
) -> None:
    """Configure logging for the process.

    Args:
        log_format: "auto" (console on a terminal, else JSON), "console" or "json".
        redaction: Takes out what must never appear in a line, wherever it comes from.
        level: Of the logging module; lower levels are dropped.
        recorder: Is given each line once it is free of secrets.
    """
    redaction = redaction or Redaction()
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Processor = structlog.processors.JSONRenderer()
    if console:  # tracebacks come as text, so that they are redacted like the rest
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, redaction, *([recorder] if recorder else []), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(_Unfailing()),  # type: ignore[arg-type]  # it needs no more
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(shared, renderer, redaction)


def through_logging() -> None:
    """Let a program that uses the library hear of it through ``logging``, unless it has set up structlog itself."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Unfailing(io.TextIOBase):
    """stderr, where a line that cannot be written is let go: a full disk under the log ends nothing."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


class Redaction:
    """Replaces secrets in every value of a line, however deep."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Hide these as well from now on, the longest first: one may begin with another."""
        known = {*self._secrets, *secrets} - {""}
        self._secrets = sorted(known, key=len, reverse=True)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return the line without secrets."""
        return {key: self._clean(value) for key, value in event.items()}

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {self._clean(key): self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item) for item in value]
        text = str(value)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _route_standard_logging(shared: list[Processor], renderer: Processor, redaction: Redaction) -> None:
    """Libraries log through ``logging``: their warnings take the same road."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redaction, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
