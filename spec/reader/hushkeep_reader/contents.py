"""Reading contents: from the catalog to bytes that have the right name (§7.1, §8.2)."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from .catalog import Catalog, Place
from .compression import decompress
from .errors import Damaged, Malformed, Refused, TooNew, blaming
from .keys import KeyRing, Kind
from .name_lists import NameList, read_name_list
from .pack_tables import Coding, ListRow, Stretch
from .storage import Storage, object_name

# Pages of a database lie scattered over the segments of many days.
CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class ContentRange:
    """Contents of one list in a row: what a reference stands for (§10.3)."""

    list_id: bytes
    first: int
    count: int

    @property
    def end(self) -> int:
        return self.first + self.count


@dataclass(frozen=True)
class Content:
    """A content, and the object that it was found in."""

    data: bytes
    object_name: str


class Contents:
    """The contents of a repository, by list and position. Whatever it gives has been held against its name."""

    def __init__(self, storage: Storage, ring: KeyRing, catalog: Catalog) -> None:
        self._storage = storage
        self._ring = ring
        self.catalog = catalog
        self._name_lists: dict[ListRow, NameList] = {}
        self._segments: OrderedDict[tuple[bytes, int], list[bytes | None]] = OrderedDict()
        self._cached_bytes = 0
        self.made_good: dict[str, Refused] = {}
        """What was found damaged or too new, by object, and read from another pack that holds it, too."""

    def refuse_unknown_lists(self, list_ids: list[bytes]) -> None:
        """What is in the lists that a node names may be gone, but the lists must be known (§10.3)."""
        for list_id in list_ids:
            if not self.catalog.knows_list(list_id):
                raise Malformed(f"it names the list {list_id.hex()}, which no pack ever introduced")

    def refuse_gone(self, part: ContentRange) -> None:
        """Contents that are needed and lie nowhere are damage. Most of them are not looked at one by one (§10.3)."""
        gone = self.catalog.first_gone(part.list_id, part.first, part.count)
        if gone is not None:
            raise _gone(part.list_id, gone)

    def read_all(self, part: ContentRange) -> Iterator[bytes]:
        """Contents that are known to be there."""
        for position in range(part.first, part.end):
            yield self.read(part.list_id, position)

    def read(self, list_id: bytes, position: int) -> bytes:
        return self.find(list_id, position).data

    def find(self, list_id: bytes, position: int) -> Content:
        """One content, from the first place where it is whole."""
        failures: list[Refused] = []
        for place in self.catalog.places(list_id, position):
            try:
                content = self._open(place)[place.number_in_segment(position)]
            except Refused as refused:
                failures.append(refused)
                continue
            if content is not None:
                self.made_good |= {refused.subject: refused for refused in failures}
                return Content(content, place.pack.object_name)
            reason = f"its content {position} does not have the name it should have"
            failures.append(Damaged(place.pack.object_name, reason))
        raise failures[-1] if failures else _gone(list_id, position)

    def _open(self, place: Place) -> list[bytes | None]:
        """The contents of the segment of a place; None for each that does not have its name."""
        key = (place.pack.id, place.segment.number)
        if key in self._segments:
            self._segments.move_to_end(key)
            return self._segments[key]
        with blaming(place.pack.object_name):
            pieces = self._cut(place)
            contents = [
                content
                for stretch in place.segment.stretches
                for content in self._proven(place.list_row(stretch), stretch, pieces)
            ]
        self._remember(key, contents)
        return contents

    def _cut(self, place: Place) -> Iterator[bytes]:
        """The contents of a segment, whose lengths must add up to the segment's (§8.2)."""
        stretches = place.segment.stretches
        lengths = [
            length for stretch in stretches for length in self._name_list(place.list_row(stretch)).lengths(stretch)
        ]
        if sum(lengths) != place.segment.length:
            raise Malformed("a segment's length is not that of its contents")
        data = self._plaintext(place)
        return iter([data[start:end] for start, end in pairwise(accumulate(lengths, initial=0))])

    def _proven(self, row: ListRow, stretch: Stretch, pieces: Iterator[bytes]) -> Iterator[bytes | None]:
        """The next contents, which are those of a stretch, each held against its name (§7.1)."""
        contents = [next(pieces) for _ in range(stretch.count)]
        names = self._name_list(row)
        found = self._ring.of_epoch(row.epoch).content_names(contents)
        for position, (content, name) in enumerate(zip(contents, found, strict=True), start=stretch.first):
            yield content if name == names.name(position) else None

    def _remember(self, key: tuple[bytes, int], contents: list[bytes | None]) -> None:
        self._segments[key] = contents
        self._cached_bytes += _size(contents)
        while self._cached_bytes > CACHE_BYTES and len(self._segments) > 1:
            self._cached_bytes -= _size(self._segments.popitem(last=False)[1])

    def _name_list(self, row: ListRow) -> NameList:
        if row not in self._name_lists:
            self._name_lists[row] = self._read_name_list(row)
        return self._name_lists[row]

    def _read_name_list(self, row: ListRow) -> NameList:
        """From the first place where it is whole."""
        failure: Exception = Malformed(f"the names of the list {row.id.hex()} are nowhere")
        for place in self.catalog.name_lists(row):
            try:
                return self.read_name_list_at(place)
            except Refused as refused:
                failure = refused
        raise failure

    def read_name_list_at(self, place: Place) -> NameList:
        with blaming(place.pack.object_name):
            return read_name_list(self._plaintext(place), place.list_row(place.stretch), place.stretch.count)

    def refuse_unless_whole(self, place: Place) -> None:
        """Refuses the segment of a place if any of its contents is not what its name says."""
        if None in self._open(place):
            raise Damaged(place.pack.object_name, "one of its contents does not have the name it should have")

    def _plaintext(self, place: Place) -> bytes:
        """A segment, opened and decompressed (§2.4, §8.2)."""
        pack, segment = place.pack, place.segment
        sealed = self._storage.read_range(Kind.PACK, pack.file_name, segment.start, segment.sealed_length)
        if len(sealed) != segment.sealed_length:
            raise Malformed("it is cut short")
        data = pack.opener(self._ring).open(segment.number, sealed)
        match segment.coding:
            case Coding.PLAIN:
                return data
            case Coding.ZSTANDARD:
                return decompress(data, segment.length)
            case _:
                raise TooNew("a segment has an unknown coding")


def _size(contents: list[bytes | None]) -> int:
    return sum(len(content) for content in contents if content is not None)


def _gone(list_id: bytes, position: int) -> Damaged:
    """The pack that introduced a list is the best that can be named for what should be there."""
    introduced_by = object_name(Kind.PACK, list_id.hex())
    return Damaged(introduced_by, f"no pack is known that holds the content {position} of its list")
