"""An upload in parts, as other tools make of what is large."""

from __future__ import annotations

from collections.abc import Sequence

from mypy_boto3_s3 import S3Client

PART_BYTES = 5 * 1024 * 1024  # a part that is not the last has no less


def upload_in_parts(s3: S3Client, repository: str, key: str, parts: Sequence[bytes]) -> str:
    """Upload an object, ``BRANCH/PATH``; return the ETag that the server says at the end."""
    place = {"Bucket": repository, "Key": key}
    upload = place | {"UploadId": s3.create_multipart_upload(**place)["UploadId"]}
    sent = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
        for number, part in enumerate(parts, 1)
    ]
    return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})["ETag"].strip('"')
