"""``syncd run``: the daemon."""

from __future__ import annotations

import asyncio
import logging

from syncd.cli.common import ConfigOption, configured


def run(config: ConfigOption = None) -> None:
    """Watch the sources and keep lakeFS in step with them, until SIGTERM or Ctrl-C."""
    from syncd.service import run as service

    asyncio.run(service.run(configured(config, log_level=logging.INFO).settings))
