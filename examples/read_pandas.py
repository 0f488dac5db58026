"""Read a snapshot's tables into pandas.

    python read_pandas.py REPOSITORY TAG

Needs pandas, s3fs and lakefs-spec: pip install "syncd[parquet]" pandas s3fs lakefs-spec. The server and its keys are
those of LAKECTL_SERVER_ENDPOINT_URL and so on.
"""

import os
import sys

import pandas as pd

import syncd

repository, tag = sys.argv[1:]
snapshot = syncd.open(repository, tag)

# Simplest: a table in parts is one table, and each file is checked against its digest as it is read.
labels = snapshot.table("labels").to_pandas()
print(labels["label"].value_counts().sort_index().to_dict())

# A CSV file that was published as it is; lakefs-spec finds the server by itself.
labels = pd.read_csv(f"{snapshot.uri}tables/labels.csv", dtype=str)
print(labels["label"].value_counts().sort_index().to_dict())

# A table of a database is a folder of Parquet files; s3fs is told of the server.
digits = pd.read_parquet(
    f"{snapshot.s3_uri}tables/digits/",
    columns=["label"],
    storage_options={
        "endpoint_url": os.environ["LAKECTL_SERVER_ENDPOINT_URL"].removesuffix("/api/v1"),
        "key": os.environ["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"],
        "secret": os.environ["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"],
    },
)
print(digits["label"].value_counts().sort_index().to_dict())
