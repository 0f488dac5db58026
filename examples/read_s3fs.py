"""Read a snapshot as files, by S3: fsspec with s3fs.

    python read_s3fs.py REPOSITORY TAG

Needs s3fs: pip install syncd s3fs. The server and its keys are those of LAKECTL_SERVER_ENDPOINT_URL and so on.
"""

import os
import sys

import s3fs

import syncd

repository, tag = sys.argv[1:]

# s3://digits/snap-…-1/: the bucket is the repository, the first folder is the tag. Without syncd write just that.
place = syncd.open(repository, tag).s3_uri

# lakeFS's keys are S3 keys, and its server speaks S3 at its root.
files = s3fs.S3FileSystem(
    endpoint_url=os.environ["LAKECTL_SERVER_ENDPOINT_URL"].removesuffix("/api/v1"),
    key=os.environ["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"],
    secret=os.environ["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"],
)

images = files.glob(f"{place}images/**/*.png")
print(f"{len(images)} images, {sum(files.size(image) for image in images)} bytes")

with files.open(images[0], "rb") as image:  # a file, for PIL and others
    print(images[0], image.read(8))

files.get(f"{place}tables/labels.csv", "labels.csv")  # or a folder, with recursive=True
