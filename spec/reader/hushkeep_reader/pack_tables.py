"""§8.3 The tables of packs, and when they are sound."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from .encoding import U32, Cursor
from .errors import Malformed
from .keys import NAME_LENGTH

HEADER_LENGTH = 68
TAG_LENGTH = 16
MAX_SEGMENT_LENGTH = 64 << 20
MAX_SEALED_LENGTH = 65 << 20
MAX_PACK_LENGTH = 1 << 38
# A sealed trailer has at most 64 MiB: the table, the padding's length and the tag (§2.5).
MAX_TABLE_LENGTH = (64 << 20) - 4 - TAG_LENGTH
MIN_LIST_LENGTH = 33
MIN_SEGMENT_LENGTH = 7
MIN_STRETCH_LENGTH = 3


class SegmentClass(IntEnum):
    """Contents of a class of later versions are taken like data."""

    DATA = 0
    METADATA = 1
    NAMES = 2


class Coding(IntEnum):
    """What is in a segment of a coding of later versions cannot be read."""

    PLAIN = 0
    ZSTANDARD = 1


@dataclass(frozen=True)
class ListRow:
    """What a table says of a list of contents."""

    id: bytes
    epoch: int
    digest: bytes


@dataclass(frozen=True)
class Stretch:
    """Contents that follow one another in a list."""

    list_number: int
    first: int
    count: int

    @property
    def end(self) -> int:
        return self.first + self.count


@dataclass(frozen=True)
class SegmentRow:
    """What a table says of a segment, with the segment's number and where it begins in the pack."""

    number: int
    start: int
    segment_class: int
    coding: int
    sealed_length: int
    length: int
    stretches: list[Stretch]

    @property
    def end(self) -> int:
        return self.start + self.sealed_length


@dataclass(frozen=True)
class Table:
    lists: list[ListRow]
    segments: list[SegmentRow]

    @property
    def end(self) -> int:
        """Where the padding begins."""
        return self.segments[-1].end if self.segments else HEADER_LENGTH

    @property
    def name_lists(self) -> list[SegmentRow]:
        """In a sound table, one for each list."""
        return self.segments[-len(self.lists) :]

    @property
    def contents(self) -> list[SegmentRow]:
        return self.segments[: -len(self.lists)]


def read_table(data: bytes) -> Table:
    if len(data) > MAX_TABLE_LENGTH:
        raise Malformed("a table is longer than a trailer has room for")
    cursor = Cursor(data)
    lists = [
        ListRow(cursor.take(16), cursor.varint(below=U32), cursor.take(16))
        for _ in range(read_count(cursor, MIN_LIST_LENGTH))
    ]
    segments: list[SegmentRow] = []
    start = HEADER_LENGTH
    for number in range(read_count(cursor, MIN_SEGMENT_LENGTH)):
        segments.append(_read_segment_row(cursor, number, start, len(lists)))
        start = segments[-1].end
    cursor.end()
    return Table(lists, segments)


def read_count(cursor: Cursor, item_length: int) -> int:
    """A number of items, held against the bytes that are left (§1.2)."""
    count = cursor.varint(below=U32)
    if count * item_length > cursor.left:
        raise Malformed("a number of items is larger than the bytes that are left can hold")
    return count


def _read_segment_row(cursor: Cursor, number: int, start: int, list_count: int) -> SegmentRow:
    coding, segment_class = divmod(cursor.byte(), 16)
    sealed_length, length = cursor.varint(below=U32), cursor.varint(below=U32)
    if not TAG_LENGTH <= sealed_length <= MAX_SEALED_LENGTH:
        raise Malformed("a segment has an impossible length")
    if coding == Coding.PLAIN and sealed_length != length + TAG_LENGTH:
        raise Malformed("a segment's lengths contradict each other")
    if length > MAX_SEGMENT_LENGTH:
        raise Malformed("a segment is too long")
    stretches = [_read_stretch(cursor, list_count) for _ in range(read_count(cursor, MIN_STRETCH_LENGTH))]
    if not stretches:
        raise Malformed("a segment has no stretch")
    return SegmentRow(number, start, segment_class, coding, sealed_length, length, stretches)


def _read_stretch(cursor: Cursor, list_count: int) -> Stretch:
    list_number, first, count = (cursor.varint(below=U32) for _ in range(3))
    if list_number >= list_count:
        raise Malformed("a stretch is of a list that the table does not have")
    if count == 0 or first + count >= U32:
        raise Malformed("a stretch is empty or out of range")
    return Stretch(list_number, first, count)


def refuse_unsound(
    table: Table, pack_id: bytes, epoch: int, length: int, introduced_lists: Mapping[bytes, bytes]
) -> None:
    """Refuses the table of a pack that is not sound. `introduced_lists` are the digests of lists in rows of packs."""
    _refuse_unsound_lists(table, introduced_lists)
    _refuse_unsound_name_lists(table)
    _refuse_unsound_contents(table, pack_id)
    if any(row.id == pack_id and row.epoch != epoch for row in table.lists):
        raise Malformed("its own list is of another epoch than itself")
    if table.end - HEADER_LENGTH >= length or length >= MAX_PACK_LENGTH:
        raise Malformed("its segments contradict its length")


def _refuse_unsound_lists(table: Table, introduced_lists: Mapping[bytes, bytes]) -> None:
    if not table.lists or len({row.id for row in table.lists}) != len(table.lists):
        raise Malformed("it has no list, or one list twice")
    for row in table.lists:
        if introduced_lists.get(row.id, row.digest) != row.digest:
            raise Malformed(f"it tells the list {row.id.hex()} otherwise than the pack that introduced it")


def _refuse_unsound_name_lists(table: Table) -> None:
    if len(table.segments) < len(table.lists):
        raise Malformed("it has fewer segments than lists")
    if any(segment.segment_class == SegmentClass.NAMES for segment in table.contents):
        raise Malformed("it has a name list where none belongs")
    for number, segment in enumerate(table.name_lists):
        [stretch, *more] = segment.stretches
        is_of_its_list = (stretch.list_number, stretch.first) == (number, 0)
        if segment.segment_class != SegmentClass.NAMES or more or not is_of_its_list:
            raise Malformed("its last segments are not the names of its lists")
        if stretch.count * NAME_LENGTH > segment.length:
            raise Malformed("a name list has more names than bytes for them")


def _refuse_unsound_contents(table: Table, pack_id: bytes) -> None:
    stretches: list[list[Stretch]] = [[] for _ in table.lists]
    for segment in table.contents:
        if sum(stretch.count for stretch in segment.stretches) > segment.length:
            raise Malformed("a segment holds more contents than bytes")
        for stretch in segment.stretches:
            stretches[stretch.list_number].append(stretch)
    for row, names, of_list in zip(table.lists, table.name_lists, stretches, strict=True):
        name_count = names.stretches[0].count
        of_list.sort(key=lambda stretch: stretch.first)
        if not of_list or of_list[-1].end > name_count:
            raise Malformed("it has a list without contents, or contents without names")
        if any(one.end > other.first for one, other in pairwise(of_list)):
            raise Malformed("two of its stretches have a content in common")
        if row.id == pack_id and sum(stretch.count for stretch in of_list) != name_count:
            raise Malformed("it does not hold all contents of its own list")
