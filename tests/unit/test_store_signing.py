"""Our signature is botocore's, for whatever is signed."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from syncd.store.sigv4 import ANY_REGION, Signer, escaped

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
MOMENTS = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001


@given(KEYS, st.dictionaries(st.sampled_from(["content-type", "x-amz-meta-sha256", "x-amz-b"]), VALUES), MOMENTS)
def test_it_is_the_one_that_botocore_makes(key, more, moment):
    moment = moment.replace(tzinfo=UTC)
    path, sha256 = escaped(f"/bucket/{key}"), "ab" * 32
    headers = {"host": "lakefs.example.com:8000", **more}
    ours = dict(Signer("AKIAEXAMPLE", "a secret").sign("PUT", path, headers, sha256, moment))

    request = AWSRequest("PUT", f"http://lakefs.example.com:8000{path}")
    request.headers = HTTPHeaders()
    for name, value in more.items():
        request.headers[name] = value
    auth = S3SigV4Auth(Credentials("AKIAEXAMPLE", "a secret"), "s3", ANY_REGION)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None)),
        mock.patch.object(auth, "payload", return_value=sha256),
    ):
        auth.add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
