"""Ask a snapshot's tables in SQL, with DuckDB.

    python read_duckdb.py REPOSITORY TAG

Needs duckdb and lakefs-spec: pip install "syncd[parquet]" duckdb lakefs-spec. The server and its keys are those of
LAKECTL_SERVER_ENDPOINT_URL and so on.
"""

import sys

import duckdb
import fsspec

import syncd

repository, tag = sys.argv[1:]
snapshot = syncd.open(repository, tag)

# An Arrow table is a table of DuckDB's, by the name of its variable. Its files were checked against their digests.
labels = snapshot.table("labels")
print(dict(duckdb.execute("SELECT label, count(*) FROM labels GROUP BY label ORDER BY label").fetchall()))

# Or DuckDB reads the files, and of Parquet no column that is not asked for: through fsspec, with no extension of
# DuckDB's to install. (With httpfs and a secret of type s3 it reads snapshot.s3_uri itself.)
duckdb.register_filesystem(fsspec.filesystem("lakefs"))
digits = duckdb.read_parquet(f"{snapshot.uri}tables/digits/part-*.parquet")
print(dict(duckdb.execute("SELECT label, count(*) FROM digits GROUP BY label ORDER BY label").fetchall()))
