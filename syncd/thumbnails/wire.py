"""What is said between syncd and the child that decodes: a request and an answer, each one frame."""

from __future__ import annotations

import struct

REQUEST = struct.Struct("!IH")  # length of the image that follows, and the longest edge that is wanted
ANSWER = struct.Struct("!cIII")  # kind, length of what follows, and the image's own width and height (0: not known)

PNG, JPEG, NOT = b"P", b"J", b"N"  # kinds; after NOT follows why, in UTF-8
CONTENT_TYPES = {PNG: "image/png", JPEG: "image/jpeg"}
MOST_BYTES = {PNG: 16 << 20, JPEG: 16 << 20, NOT: 1 << 10}  # that may follow
