"""§8.4 Name lists."""

from collections.abc import Iterator
from itertools import accumulate, pairwise

from .encoding import Cursor, encode_varint
from .errors import Malformed
from .keys import NAME_LENGTH, digest
from .pack_tables import MAX_SEGMENT_LENGTH, ListRow, Stretch, read_count


class NameList:
    """The names and lengths of the contents of one list, by position."""

    def __init__(self, lengths: list[int], names: bytes) -> None:
        self._ends = list(accumulate(lengths, initial=0))
        self._names = names

    def __len__(self) -> int:
        return len(self._ends) - 1

    def name(self, position: int) -> bytes:
        return self._names[position * NAME_LENGTH : (position + 1) * NAME_LENGTH]

    def lengths(self, stretch: Stretch) -> list[int]:
        if stretch.end > len(self):
            raise Malformed("a segment holds more contents than its list has")
        return [end - start for start, end in pairwise(self._ends[stretch.first : stretch.end + 1])]


def name_list_digest(epoch: int, data: bytes) -> bytes:
    """What stands for a name list in tables (§8.3)."""
    return digest("hushkeep/1 name list", encode_varint(epoch) + data)


def read_name_list(data: bytes, row: ListRow, count: int) -> NameList:
    """The name list of a row in a table, which says how many names it has."""
    if name_list_digest(row.epoch, data) != row.digest:
        raise Malformed("its name list is not the one that it announces")
    cursor = Cursor(data)
    total = read_count(cursor, NAME_LENGTH)
    if total != count:
        raise Malformed("its name list has another number of names than its table says")
    lengths = [length for length, repeat in _read_runs(cursor, total) for _ in range(repeat)]
    names = cursor.take(total * NAME_LENGTH)
    cursor.end()
    return NameList(lengths, names)


def _read_runs(cursor: Cursor, total: int) -> Iterator[tuple[int, int]]:
    """Lengths, and how many contents in a row have each. There is one form only."""
    previous = None
    while total:
        length = cursor.varint(below=MAX_SEGMENT_LENGTH + 1)
        repeat = cursor.varint()
        if length in (0, previous) or not 0 < repeat <= total:
            raise Malformed("a run of its name list has an impossible length")
        previous = length
        total -= repeat
        yield length, repeat
