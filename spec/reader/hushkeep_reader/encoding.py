"""§1 Encodings."""

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .errors import Malformed, TooNew

U32 = 1 << 32
U64 = 1 << 64
NANOSECONDS = 1_000_000_000


class Cursor:
    """Reads bytes from front to back, and refuses whatever §1 refuses."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def taken(self) -> int:
        return self._at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        if length > self.left:
            raise Malformed("it is cut short")
        self._at += length
        return self._data[self._at - length : self._at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def end(self) -> None:
        """Nothing may follow."""
        if self.left:
            raise Malformed("bytes follow where it should end")

    def byte(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def varint(self, below: int = U64) -> int:
        """An unsigned integer below a limit (§1.1)."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift == 70:
                raise Malformed("an integer has more than ten bytes")
        if byte == 0 and shift > 7:
            raise Malformed("an integer is longer than it need be")
        if value >= below:
            raise Malformed("an integer is out of its range")
        return value

    def signed(self) -> int:
        """A signed integer (§1.1)."""
        value = self.varint()
        return ~(value >> 1) if value & 1 else value >> 1

    def byte_string(self) -> bytes:
        """A byte string (§1.2)."""
        return self.take(self.varint())

    def text(self) -> str:
        """Text (§1.2)."""
        return decode_text(self.byte_string())

    def time(self) -> "Time":
        """A time as in §11.1: signed seconds, then nanoseconds."""
        return Time(self.signed(), self.varint(below=NANOSECONDS))

    def items(self) -> Iterator["Cursor"]:
        """This cursor once more for each item, until nothing is left ("to the end")."""
        while self.left:
            yield self


@dataclass(frozen=True)
class Time:
    """A point of time since 1970-01-01 00:00:00 UTC."""

    seconds: int
    nanoseconds: int

    @property
    def total_nanoseconds(self) -> int:
        return self.seconds * NANOSECONDS + self.nanoseconds


def decode_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("text is not UTF-8") from error


@dataclass(frozen=True)
class Record:
    """The fields of a record (§1.3), by number."""

    fields: dict[int, bytes]
    unknown: dict[int, bytes]

    def __contains__(self, number: int) -> bool:
        return number in self.fields

    def raw(self, number: int) -> bytes:
        return self.fields[number]

    def fixed(self, number: int, length: int) -> bytes:
        """A field that has exactly this length."""
        if len(self.fields[number]) != length:
            raise Malformed(f"field {number} has the wrong length")
        return self.fields[number]

    def cursor(self, number: int) -> Cursor:
        return Cursor(self.fields[number])

    def integer(self, number: int, below: int = U64) -> int:
        """An integer field: one varint that fills it."""
        cursor = self.cursor(number)
        value = cursor.varint(below)
        cursor.end()
        return value

    def time(self, number: int) -> Time:
        cursor = self.cursor(number)
        time = cursor.time()
        cursor.end()
        return time

    def ids(self, number: int) -> list[bytes]:
        """A field of ids of 16 bytes each, to the end."""
        return [cursor.take(16) for cursor in self.cursor(number).items()]


def read_record(data: bytes, last_known: int, optional: Collection[int] = ()) -> Record:
    """A record whose section lists the fields from 1 to `last_known` (§1.3)."""
    fields: dict[int, bytes] = {}
    unknown: dict[int, bytes] = {}
    too_new: list[int] = []
    previous = 0
    for cursor in Cursor(data).items():
        number, critical = divmod(cursor.varint(below=2 * U32), 2)
        if number <= previous:
            raise Malformed("the fields of a record are out of order")
        previous = number
        value = cursor.byte_string()
        if number <= last_known:
            fields[number] = value
        elif critical:
            too_new.append(number)
        else:
            unknown[number] = value
    if too_new:
        raise TooNew(f"a record has the field {too_new[0]}, which this reader does not know and must not ignore")
    for number in range(1, last_known + 1):
        if number not in fields and number not in optional:
            raise Malformed(f"a record lacks its field {number}")
    return Record(fields, unknown)


def encode_varint(value: int) -> bytes:
    """The shortest form (§1.1): digests and names are taken of encoded integers."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_byte_string(data: bytes) -> bytes:
    return encode_varint(len(data)) + data


def encode_u32(value: int) -> bytes:
    return struct.pack("<I", value)


def encode_u64(value: int) -> bytes:
    return struct.pack("<Q", value)
