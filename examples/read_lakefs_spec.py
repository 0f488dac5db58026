"""Read a snapshot as files, by lakeFS's own protocol: fsspec with lakefs-spec.

    python read_lakefs_spec.py REPOSITORY TAG

Needs lakefs-spec: pip install syncd lakefs-spec. It finds the server and its keys where syncd and every lakeFS client
finds them: in LAKECTL_SERVER_ENDPOINT_URL and so on, or in ~/.lakectl.yaml.
"""

import sys

import fsspec

import syncd

repository, tag = sys.argv[1:]

# lakefs://digits/snap-…-1/: without syncd write just that.
place = syncd.open(repository, tag).uri

files = fsspec.filesystem("lakefs")
images = files.glob(f"{place}images/**/*.png")
print(f"{len(images)} images")

with files.open(images[0], "rb") as image:  # a file, for PIL and others
    print(images[0], image.read(8))

with fsspec.open(f"{place}tables/labels.csv", "rt") as table:  # what takes an fsspec address takes this one
    print(next(table).strip(), len(list(table)))
