"""The XML of S3, as far as small requests and their answers need it.

Source: docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html and ErrorResponses.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_NOT_AS_IT_IS = {"\r": "&#xD;", "\n": "&#xA;", "\t": "&#x9;"}  # a reader of XML would change these


def deletion(keys: Iterable[str]) -> bytes:
    """Return the body of a request that deletes these keys, and has each of them named in the answer."""
    objects = "".join(f"<Object><Key>{escape(key, _NOT_AS_IT_IS)}</Key></Object>" for key in keys)
    return f'<Delete xmlns="{_NAMESPACE}">{objects}</Delete>'.encode()


def deletion_outcome(body: bytes) -> tuple[set[str], dict[str, tuple[str, str]]] | None:
    """Return the keys that were deleted, and for those that were not code and message; None: this is no such answer."""
    root = _root(body)
    if root is None or _name(root) != "DeleteResult":
        return None
    deleted: set[str] = set()
    failed: dict[str, tuple[str, str]] = {}
    for entry in root:
        said = dict(_texts(entry))
        if _name(entry) == "Deleted":
            deleted.add(said.get("Key", ""))
        elif _name(entry) == "Error":
            failed[said.get("Key", "")] = said.get("Code", ""), said.get("Message", "")
    return deleted, failed


def copy_etag(body: bytes) -> str:
    """Return the ETag in the answer to a copy, "" where this is no such answer."""
    root = _root(body)
    return "" if root is None or _name(root) != "CopyObjectResult" else dict(_texts(root)).get("ETag", "").strip('"')


def error(body: bytes) -> tuple[str, str]:
    """Return code and message of an error, both empty where the body is none."""
    root = _root(body)
    if root is None or _name(root) != "Error":
        return "", ""
    said = dict(_texts(root))
    return said.get("Code", ""), said.get("Message", "")


def _root(body: bytes) -> ET.Element | None:
    try:
        return ET.fromstring(body)  # noqa: S314 - short, and expat refuses entities that grow
    except ET.ParseError:
        return None


def _texts(element: ET.Element) -> Iterator[tuple[str, str]]:
    for child in element:
        yield _name(child), child.text or ""


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
