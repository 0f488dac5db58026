"""``syncd run``: the daemon."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from syncd.cli.common import ConfigOption, configured
from syncd.errors import EXIT_DONE


def run(config: ConfigOption = None) -> None:
    """Watch the sources and keep lakeFS in step with them, until SIGTERM or Ctrl-C. SIGHUP: read the file again."""
    from syncd.service import run as service
    from syncd.service.listening import Listening, listen_of
    from syncd.service.logs import Redaction
    from syncd.service.recent import Recent
    from syncd.web.server import serve

    recent, redaction = Recent(), Redaction()
    loaded = configured(config, log_level=logging.INFO, recorder=recent, redaction=redaction)
    listening = Listening(listen_of(loaded.settings), serve)
    asyncio.run(
        service.run(loaded.settings, config=loaded.path, listening=listening, recent=recent, hide=redaction.hide)
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_DONE)  # a call to lakeFS that hangs in a thread must not hold up the end
