"""§8 Packs."""

from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise

from .encoding import U32, Cursor, encode_byte_string, encode_varint
from .errors import Malformed, blaming
from .keys import NAME_LENGTH, KeyRing, Kind, digest
from .sealing import (
    HEADER_LENGTH,
    LENGTH_LENGTH,
    TAG_LENGTH,
    Header,
    Opener,
    read_header,
    read_trailer_length,
)
from .storage import Storage, object_name

MAX_SEGMENT_LENGTH = 64 << 20
MAX_PACK_LENGTH = 1 << 40
MIN_LIST_LENGTH = 33
MIN_SEGMENT_LENGTH = 6


class SegmentClass(IntEnum):
    DATA = 0
    METADATA = 1
    NAMES = 2


class Coding(IntEnum):
    PLAIN = 0
    ZSTANDARD = 1


@dataclass(frozen=True)
class ListRow:
    """What a table says of a list of contents."""

    id: bytes
    epoch: int
    digest: bytes


@dataclass(frozen=True)
class SegmentRow:
    """What a table says of a segment, with the segment's number and where it begins in the pack."""

    number: int
    start: int
    segment_class: SegmentClass
    coding: Coding
    sealed_length: int
    length: int
    list_number: int
    first: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.sealed_length


@dataclass(frozen=True)
class Table:
    """The table in the trailer of a pack (§8.3)."""

    lists: list[ListRow]
    segments: list[SegmentRow]


@dataclass(frozen=True)
class Pack:
    """What an index object has of a pack (§9.1)."""

    id: bytes
    epoch: int
    salt: bytes
    length: int
    encoded_table: bytes

    @property
    def file_name(self) -> str:
        return self.id.hex()

    @property
    def object_name(self) -> str:
        return object_name(Kind.PACK, self.file_name)

    def digest(self) -> bytes:
        """§8.3."""
        numbers = encode_varint(self.epoch) + self.salt + encode_varint(self.length)
        return digest("hushkeep/1 pack", self.id + numbers + encode_byte_string(self.encoded_table))

    def opener(self, ring: KeyRing) -> Opener:
        """Opens segments without reading the header, which is known from all this (§9.1)."""
        return Opener(Header(Kind.PACK, self.epoch, ring.repository, self.salt), ring)


def read_pack(cursor: Cursor) -> Pack:
    """One pack out of the body of an index object (§9.1)."""
    return Pack(
        id=cursor.take(16),
        epoch=cursor.varint(below=U32),
        salt=cursor.take(32),
        length=cursor.varint(),
        encoded_table=cursor.byte_string(),
    )


def read_pack_itself(storage: Storage, pack_id: bytes, ring: KeyRing) -> Pack:
    """The same from the pack's own header and trailer (§9.1)."""
    file_name = pack_id.hex()
    with blaming(object_name(Kind.PACK, file_name)):
        header = read_header(storage.read_range(Kind.PACK, file_name, 0, HEADER_LENGTH), Kind.PACK)
        length = storage.length(Kind.PACK, file_name)
        end = length - LENGTH_LENGTH
        if end < HEADER_LENGTH:
            raise Malformed("it is cut short")
        trailer_length = read_trailer_length(
            storage.read_range(Kind.PACK, file_name, end, LENGTH_LENGTH), available=end - HEADER_LENGTH
        )
        sealed_trailer = storage.read_range(Kind.PACK, file_name, end - trailer_length, trailer_length)
        padding_length, encoded_table = Opener(header, ring).open_trailer(sealed_trailer)
        segments_length = sum(row.sealed_length for row in read_table(encoded_table).segments)
        if HEADER_LENGTH + segments_length + padding_length + TAG_LENGTH + trailer_length != end:
            raise Malformed("its segments and its padding do not fill it")
        return Pack(pack_id, header.epoch, header.salt, length, encoded_table)


def read_table(data: bytes) -> Table:
    """§8.3."""
    cursor = Cursor(data)
    lists = [
        ListRow(cursor.take(16), cursor.varint(below=U32), cursor.take(16))
        for _ in range(_read_count(cursor, MIN_LIST_LENGTH))
    ]
    segments: list[SegmentRow] = []
    start = HEADER_LENGTH
    for number in range(_read_count(cursor, MIN_SEGMENT_LENGTH)):
        segments.append(_read_segment_row(cursor, number, start, len(lists)))
        start = segments[-1].end
    cursor.end()
    return Table(lists, segments)


def _read_count(cursor: Cursor, item_length: int) -> int:
    """A number of items, held against the bytes that are left (§1.2)."""
    count = cursor.varint()
    if count * item_length > cursor.left:
        raise Malformed("a number of items is larger than the bytes that are left can hold")
    return count


def _read_segment_row(cursor: Cursor, number: int, start: int, list_count: int) -> SegmentRow:
    """§8.3."""
    coding, segment_class = divmod(cursor.byte(), 16)
    sealed_length, length, list_number, first, count = (cursor.varint(below=U32) for _ in range(5))
    if segment_class not in list(SegmentClass) or coding not in list(Coding):
        raise Malformed("a segment has an unknown class or coding")
    if list_number >= list_count:
        raise Malformed("a segment is of a list that the table does not have")
    if sealed_length < TAG_LENGTH or (coding == Coding.PLAIN and sealed_length != length + TAG_LENGTH):
        raise Malformed("a segment's lengths contradict each other")
    if length > MAX_SEGMENT_LENGTH:
        raise Malformed("a segment is too long")
    if first + count >= U32:
        raise Malformed("a segment's positions are out of range")
    return SegmentRow(
        number, start, SegmentClass(segment_class), Coding(coding), sealed_length, length, list_number, first, count
    )


def sound_table(pack: Pack) -> Table:
    """The table of a pack that is sound: it introduces one list, its own, and tells all of it (§8.3)."""
    table = read_table(pack.encoded_table)
    if [(row.id, row.epoch) for row in table.lists] != [(pack.id, pack.epoch)]:
        raise Malformed("it speaks of another list than its own")
    if not table.segments:
        raise Malformed("it has no name list")
    *contents, names = table.segments
    expected = 0
    for row in contents:
        if row.segment_class is SegmentClass.NAMES:
            raise Malformed("it has more than one name list")
        if row.first != expected:
            raise Malformed("it does not give the positions of its list one after the other")
        if row.count > row.length:
            raise Malformed("a segment holds more contents than bytes")
        expected += row.count
    if names.segment_class is not SegmentClass.NAMES or (names.first, names.count) != (0, expected):
        raise Malformed("its last segment is not the list of all its names")
    if names.end - HEADER_LENGTH >= pack.length or pack.length >= MAX_PACK_LENGTH:
        raise Malformed("its segments contradict its length")
    return table


class NameList:
    """The names and lengths of the contents of one list, by position (§8.4)."""

    def __init__(self, lengths: list[int], names: bytes) -> None:
        self._ends = list(accumulate(lengths, initial=0))
        self._names = names

    def __len__(self) -> int:
        return len(self._ends) - 1

    def name(self, position: int) -> bytes:
        return self._names[position * NAME_LENGTH : (position + 1) * NAME_LENGTH]

    def length(self, position: int) -> int:
        return self._ends[position + 1] - self._ends[position]

    def cut(self, first: int, count: int, data: bytes) -> list[bytes]:
        """The contents of a segment, whose lengths must add up to the segment's (§8.2)."""
        if first + count > len(self):
            raise Malformed("a segment holds more contents than its list has")
        ends = [end - self._ends[first] for end in self._ends[first : first + count + 1]]
        if ends[-1] != len(data):
            raise Malformed("a segment's length is not that of its contents")
        return [data[start:end] for start, end in pairwise(ends)]


def read_name_list(data: bytes, row: ListRow) -> NameList:
    """§8.4."""
    if digest("hushkeep/1 name list", data) != row.digest:
        raise Malformed("its name list is not the one that it announces")
    cursor = Cursor(data)
    total = _read_count(cursor, NAME_LENGTH)
    lengths: list[int] = []
    while len(lengths) < total:
        length = cursor.varint(below=MAX_SEGMENT_LENGTH + 1)
        repeat = cursor.varint()
        if not 0 < repeat <= total - len(lengths):
            raise Malformed("a run of its name list has an impossible length")
        lengths += [length] * repeat
    names = cursor.take(total * NAME_LENGTH)
    cursor.end()
    return NameList(lengths, names)
