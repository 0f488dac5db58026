"""Keys as bytes that sort as the keys do, and names of parts made of them. Pure.

A name says where its part begins, so that a listing in the order of names is one in the order of rows, and so that
a part keeps its name whatever happens to the rows before it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from syncd.sources.tables.base import Kind, TableFaultError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from decimal import Decimal

FIRST = "part-0"  # begins before every key; "part-0.parquet" sorts before all other names

_MOST_BYTES = 32  # of a key in a name
_HASH_BYTES = 8
_OFFSET = 1 << 63
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE = datetime(1970, 1, 1)  # noqa: DTZ001 - the values it is taken from have none either
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_MICROSECONDS = 86_400_000_000
_NEGATIVE, _ZERO, _POSITIVE = b"\x00", b"\x01", b"\x02"
_EXPONENT_OFFSET = 1 << 31
_DIGITS_END = b"\xff"  # sorts after every complement of a pair of digits: of two negatives the shorter is greater


def part_name(key: bytes) -> str:
    """Return the name of the part that begins at a key: "part-8000000000000001".

    Names hold lower-case letters of hexadecimal, digits and "-" alone, are distinct for distinct keys, and sort, with
    the ".parquet" behind them, as the keys do. The one exception: of keys that are equal in their first 32 bytes,
    those that are longer are told apart by a hash, and sort by it.

    Args:
        key: As a function of :func:`key_bytes` returns it; not empty, which no part but the first can begin with.
    """
    if len(key) <= _MOST_BYTES:
        return f"part-{key.hex()}"
    # A hash of its own: all keys that begin a part share bits of the one that makes them begin it.
    told_apart = hashlib.blake2b(key, digest_size=_HASH_BYTES, person=b"syncd name").hexdigest()
    return f"part-{key[:_MOST_BYTES].hex()}-{told_apart}"


def key_bytes(kind: Kind) -> Callable[[Any], bytes]:
    """Return the function that turns a key of this kind into bytes: equal for equal keys, in the keys' order.

    Integers and times are 8 bytes: the number, of microseconds since 1970 for times, plus 2**63.

    Raises:
        TableFaultError: Values of this kind cannot be keys. The function raises it for a key that is not of the kind.
    """
    encode = _ENCODINGS.get(kind)
    if encode is None:
        raise TableFaultError(
            f"a column of {kind} values cannot be the key", next_step="choose a key of integers, text, bytes or times"
        )

    def encoded(key: Any) -> bytes:
        try:
            return encode(key)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise TableFaultError(
                f"the key {str(key)[:60]!a} cannot be used as {kind}", cause=str(error).rstrip(".")
            ) from error

    return encoded


def _integer(key: int) -> bytes:
    return (key + _OFFSET).to_bytes(8, "big")


def _date(key: date) -> bytes:
    return _integer((key.toordinal() - _EPOCH_DAY) * _DAY_MICROSECONDS)


def _timestamp(key: datetime) -> bytes:
    return _integer((key - _EPOCH_WITHOUT_ZONE) // _MICROSECOND)


def _timestamp_tz(key: datetime) -> bytes:
    return _integer((key - _EPOCH) // _MICROSECOND)


def _decimal(key: Decimal) -> bytes:
    """Return sign, exponent and digits, all but the sign turned round for negatives; 1.0 and 1.00 are one key."""
    if not key.is_finite():
        raise ValueError("it is no finite number")
    if not key:
        return _ZERO
    digits = "".join(map(str, key.as_tuple().digits)).rstrip("0")
    digits += "0" * (len(digits) % 2)
    pairs = bytes(int(digits[at : at + 2]) + 1 for at in range(0, len(digits), 2))
    magnitude = (key.adjusted() + _EXPONENT_OFFSET).to_bytes(4, "big") + pairs
    if key > 0:
        return _POSITIVE + magnitude
    return _NEGATIVE + bytes(255 - byte for byte in magnitude) + _DIGITS_END


_ENCODINGS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.TEXT: str.encode,
    Kind.BYTES: bytes.__bytes__,
    Kind.DATE: _date,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMP_TZ: _timestamp_tz,
}
