"""Sends notices to an address by POST, signed so that the receiver knows whom they are from."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.notify.delivery import LIMIT_S

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.notify.notice import Notice

SIGNATURE, TIMESTAMP = "X-Syncd-Signature", "X-Syncd-Timestamp"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Webhook:
    """A receiver on the web."""

    url: str
    secret: str = ""  # "": nothing is signed
    ca_file: Path | None = None  # authorities besides the system's
    limit_s: float = LIMIT_S

    async def send(self, notice: Notice) -> None:
        """See ``Sender.send``. Each try is signed anew, so that a receiver may refuse what is old."""
        from syncd.notify import http  # noqa: PLC0415 - its library takes longer to load than most syncs take

        headers = {"Content-Type": "application/json", "X-Syncd-Event": notice.kind.value}
        if self.secret:
            timestamp = str(int(time.time()))
            headers |= {TIMESTAMP: timestamp, SIGNATURE: signature(self.secret, timestamp, notice.body)}
        await http.request(
            "POST", self.url, body=notice.body, headers=headers, ca_file=self.ca_file, limit_s=self.limit_s
        )


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what goes with a body: ``sha256=`` and an HMAC over the timestamp, a full stop and the body, in hex."""
    signed = timestamp.encode("ascii") + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
