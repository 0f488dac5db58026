"""The content type of a key, from its extension alone.

A table of our own: the type is part of an object's identity in lakeFS, and the ``mimetypes`` module of Python reads
files of the machine it runs on. Changing an entry makes every such object count as changed once; adding one is the
same for objects with that extension.
"""

from __future__ import annotations

DEFAULT_CONTENT_TYPE = "application/octet-stream"

CONTENT_TYPES = {
    # images
    "avif": "image/avif",
    "bmp": "image/bmp",
    "dng": "image/x-adobe-dng",
    "exr": "image/x-exr",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "ico": "image/x-icon",
    "j2k": "image/jp2",
    "jp2": "image/jp2",
    "jpe": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "jxl": "image/jxl",
    "pbm": "image/x-portable-bitmap",
    "pgm": "image/x-portable-graymap",
    "png": "image/png",
    "pnm": "image/x-portable-anymap",
    "ppm": "image/x-portable-pixmap",
    "svg": "image/svg+xml",
    "tga": "image/x-tga",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    # medical and scientific images
    "dcm": "application/dicom",
    "fits": "image/fits",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    # tables and annotations
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}


def content_type(key: str) -> str:
    """Return the content type of a key: by its extension in any case, else ``application/octet-stream``."""
    name = key.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    if not (stem and dot):  # no extension, or a hidden file's name
        return DEFAULT_CONTENT_TYPE
    return CONTENT_TYPES.get(extension.lower(), DEFAULT_CONTENT_TYPE)
