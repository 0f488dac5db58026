"""The section that says who is told of what happens to the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from syncd.config import values
from syncd.config.sections import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

Event = Literal["snapshot", "hold", "failure", "recovery", "stale"]
_FILE = "File that holds it and nothing else, readable by its owner alone (chmod 600). systemd credential: "


class NotifySettings(Section):
    """Webhook, command and ping."""

    heading = (
        "Who is told what happens. Nothing here delays or fails the sync; what cannot be told is tried again for ten"
        " minutes, then logged and let go."
    )

    on: tuple[Event, ...] = Field(
        default=("snapshot", "hold", "failure", "recovery", "stale"),
        description="What webhook and command are told of: each snapshot; a hold, which waits for a person; a failure;"
        " that it is over (recovery); that the newest snapshot has fallen behind (stale, see stale_seconds).",
    )
    webhook_url: values.SecretAddress = Field(
        default=None,
        examples=["https://hooks.example.com/syncd"],
        description="Each event is sent here by POST, as JSON. Better, if the address is a secret: webhook_url_file, or"
        " the systemd credential notify_webhook_url. It is never shown or logged.",
    )
    webhook_url_file: values.OptionalPath = Field(
        default=None, examples=["/etc/syncd/webhook-url"], description=f"{_FILE}notify_webhook_url."
    )
    webhook_secret: values.OptionalSecret = Field(
        default=None,
        description="Signs each request: X-Syncd-Signature is sha256= and the HMAC-SHA256, in hex, of"
        " X-Syncd-Timestamp, a full stop and the body. Allowed here only if this file is readable by its owner alone.",
    )
    webhook_secret_file: values.OptionalPath = Field(
        default=None, examples=["/etc/syncd/webhook-secret"], description=f"{_FILE}notify_webhook_secret."
    )
    command: values.CommandLine = Field(
        default=(),
        examples=[("/usr/local/bin/tell", "ops")],
        description="This is run for each event: a program and its arguments, without a shell. It finds the event's"
        " name in SYNCD_EVENT and its JSON on stdin, and nothing of syncd's secrets in its environment.",
    )
    command_seconds: values.Seconds = Field(
        default=30.0,
        ge=0.1,
        le=3600,
        description="The time it has, with all that it starts; then they are killed.",
    )
    ping_url: values.SecretAddress = Field(
        default=None,
        examples=["https://hc-ping.com/your-uuid"],
        description="A dead man's switch, as healthchecks.io has it: this is fetched from time to time while the newest"
        " snapshot holds what the source holds, and only then; this with /fail at a hold, a failure or staleness.",
    )
    ping_url_file: values.OptionalPath = Field(
        default=None, examples=["/etc/syncd/ping-url"], description=f"{_FILE}notify_ping_url."
    )
    ping_seconds: values.Seconds = Field(
        default=60.0, ge=1, le=values.DAY_SECONDS, description="The time between two pings."
    )
    grace_seconds: values.Seconds = Field(
        default=60.0,
        ge=0,
        le=values.DAY_SECONDS,
        description="A hold or failure that is over sooner is told to nobody, and one that comes back sooner is not"
        " told as over.",
    )
    stale_seconds: values.Seconds = Field(
        default=0.0,
        ge=0,
        le=30 * values.DAY_SECONDS,
        description="Tell when for this long no snapshot has held all that the source held; 0: never. Set it well above"
        " the time a change may wait for its snapshot.",
    )
    ca_file: values.OptionalPath = Field(
        default=None,
        examples=["/etc/syncd/ca.pem"],
        description="PEM file with certificate authorities of webhook and ping, besides those the system knows.",
    )

    def secrets(self) -> Iterator[str]:
        """Yield what must appear nowhere: whole addresses, since a path may be a password."""
        for secret in (self.webhook_url, self.webhook_secret, self.ping_url):
            if secret is not None:
                yield secret.get_secret_value()
