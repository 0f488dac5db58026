"""Certificates to trust."""

from __future__ import annotations

import ssl

from syncd.errors import NeedsPersonStoreError


def require_ca_file(ca_file: str | None) -> None:
    """Refuse a certificate file that cannot be used; the client libraries would report a lost connection.

    Raises:
        NeedsPersonStoreError: It cannot be read, or holds no certificate.
    """
    if ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise NeedsPersonStoreError(
            f"The certificates in {ca_file} cannot be used",
            cause=error.strerror or "It is not a PEM file of certificates",
            next_step="set lakefs.ca_file to a readable PEM file",
        ) from error
