"""Signature version 4, as S3 asks for it, of requests whose body's SHA-256 is known."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ANY_REGION = "us-east-1"  # lakeFS takes every region's name; the signature needs one
_SERVICE = "s3"
_ALGORITHM = "AWS4-HMAC-SHA256"


class Signer:
    """Signs for one pair of keys.

    Source: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """

    def __init__(self, access_key_id: str, secret_access_key: str) -> None:
        self._access_key_id = access_key_id
        self._mac_of = lru_cache(maxsize=2)(lambda day: _signing_mac(secret_access_key, day))  # midnight: two days

    def sign(
        self, method: str, path: str, headers: Mapping[str, str], sha256: str, now: datetime, *, query: str = ""
    ) -> tuple[tuple[str, str], ...]:
        """Return the headers to send besides those given.

        Args:
            method: "PUT".
            path: As sent, escaped as :func:`escaped` does.
            headers: All that are signed with it, among them "host"; names in lower case.
            sha256: Of the body, in hex.
            now: The time, in UTC.
            query: As it is signed: "delete=", parameters sorted.
        """
        date = now.strftime("%Y%m%dT%H%M%SZ")
        signed = sorted({**headers, "x-amz-content-sha256": sha256, "x-amz-date": date}.items())
        names = ";".join(name for name, _ in signed)
        listed = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in signed)
        canonical = f"{method}\n{path}\n{query}\n{listed}\n{names}\n{sha256}"
        scope = f"{date[:8]}/{ANY_REGION}/{_SERVICE}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"{_ALGORITHM}\n{date}\n{scope}\n{digest}"
        mac = self._mac_of(date[:8]).copy()  # hmac.digest hands the GIL over, to whoever reads files meanwhile
        mac.update(to_sign.encode())
        credential = f"{self._access_key_id}/{scope}"
        return (
            ("x-amz-content-sha256", sha256),
            ("x-amz-date", date),
            (
                "authorization",
                f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={mac.hexdigest()}",
            ),
        )


def escaped(path: str) -> str:
    """Return a path as it is sent and signed: everything escaped but what S3 leaves, and the slashes."""
    return quote(path, safe="/-_.~")


def _signing_mac(secret_access_key: str, day: str) -> hmac.HMAC:
    key = f"AWS4{secret_access_key}".encode()
    for part in (day, ANY_REGION, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")
