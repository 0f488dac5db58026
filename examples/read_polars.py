"""Read a snapshot's tables into polars.

    python read_polars.py REPOSITORY TAG

Needs polars: pip install "syncd[parquet]" polars. The server and its keys are those of LAKECTL_SERVER_ENDPOINT_URL and
so on.
"""

import os
import sys

import polars as pl

import syncd

repository, tag = sys.argv[1:]
snapshot = syncd.open(repository, tag)


def by_label(frame: pl.LazyFrame) -> dict[str | int, int]:
    """Return how many rows there are of each label."""
    return dict(frame.group_by("label").len().sort("label").collect().iter_rows())


# Simplest: each file is checked against its digest as it is read.
print(by_label(pl.LazyFrame(snapshot.table("labels"))))

# Lazily, by S3: polars fetches of Parquet no column that is not asked for.
server = os.environ["LAKECTL_SERVER_ENDPOINT_URL"].removesuffix("/api/v1")
options = {
    "aws_endpoint_url": server,
    "aws_access_key_id": os.environ["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"],
    "aws_secret_access_key": os.environ["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"],
    "aws_region": "us-east-1",  # lakeFS takes any
    "aws_allow_http": str(server.startswith("http://")).lower(),
}
print(by_label(pl.scan_csv(f"{snapshot.s3_uri}tables/labels.csv", storage_options=options)))
print(by_label(pl.scan_parquet(f"{snapshot.s3_uri}tables/digits/part-*.parquet", storage_options=options)))
