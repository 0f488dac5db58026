"""Signs requests to the S3 gateway without reading the body a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.auth import S3SigV4Auth
from botocore.credentials import Credentials

from syncd.store.base import SHA256_METADATA
from syncd.store.sigv4 import ANY_REGION

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest

_DIGEST_HEADER = f"x-amz-meta-{SHA256_METADATA}"


class KnownDigestSigner(S3SigV4Auth):
    """Signature version 4, with the body's SHA-256 taken from the object's own metadata.

    botocore would hash the body inside the event loop. syncd knows the digest before it sends: it goes along as
    metadata, and here into the signature too. lakeFS compares what arrives with it, so bytes that differ from the
    metadata are refused and never become an object.
    """

    def __init__(self, access_key_id: str, secret_access_key: str) -> None:
        super().__init__(Credentials(access_key_id, secret_access_key), "s3", ANY_REGION)

    def payload(self, request: AWSRequest) -> str:
        """Return the digest of the body: the one in the metadata, else computed (for small bodies)."""
        known = request.headers.get(_DIGEST_HEADER)
        return known if known is not None else super().payload(request)

    def sign(self, request: AWSRequest, **_: object) -> None:
        """Sign in place; registered for botocore's "request-created" event."""
        self.add_auth(request)
