"""Reading contents: from the catalog to bytes that have the right name (§7.1, §8.2)."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from .compression import decompress
from .errors import Damaged, Malformed, blaming
from .index import Catalog, Place
from .keys import KeyRing, Kind
from .packs import Coding, NameList, read_name_list
from .storage import Storage

# Pages of a database lie scattered over the segments of many days.
CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class ContentRange:
    """Contents of one list in a row: what a reference stands for (§10.3)."""

    list_id: bytes
    first: int
    count: int

    @property
    def last(self) -> int:
        return self.first + self.count - 1


class Contents:
    """The contents of a repository, by list and position. Whatever it gives has been held against its name."""

    def __init__(self, storage: Storage, ring: KeyRing, catalog: Catalog) -> None:
        self._storage = storage
        self._ring = ring
        self._catalog = catalog
        self._name_lists: dict[bytes, NameList] = {}
        self._segments: OrderedDict[tuple[bytes, int], list[bytes | None]] = OrderedDict()
        self._cached_bytes = 0

    def knows_list(self, list_id: bytes) -> bool:
        return self._catalog.knows_list(list_id)

    def refuse_unknown(self, contents: ContentRange) -> None:
        """Refuses contents whose first or last one no index object tells of (§10.3, §10.5)."""
        for position in (contents.first, contents.last):
            if not self._catalog.knows(contents.list_id, position):
                raise _unknown(contents.list_id, position)

    def read_all(self, contents: ContentRange) -> Iterator[bytes]:
        self.refuse_unknown(contents)
        for position in range(contents.first, contents.first + contents.count):
            yield self.read(contents.list_id, position)

    def read(self, list_id: bytes, position: int) -> bytes:
        """One content, from the first place where it is whole."""
        failure: Exception = _unknown(list_id, position)
        for place in self._catalog.places(list_id, position):
            try:
                content = self._open(place)[position - place.segment.first]
            except Damaged as damaged:
                failure = damaged
                continue
            if content is not None:
                return content
            failure = Damaged(place.pack.object_name, f"its content {position} does not have the name it should have")
        raise failure

    def _open(self, place: Place) -> list[bytes | None]:
        """The contents of a segment; None for each that does not have its name."""
        key = (place.pack.id, place.segment.number)
        if key in self._segments:
            self._segments.move_to_end(key)
            return self._segments[key]
        names = self._name_list(place.list_row.id)
        with blaming(place.pack.object_name):
            cut = names.cut(place.segment.first, place.segment.count, self._plaintext(place))
        found = self._ring.of_epoch(place.list_row.epoch).content_names(cut)
        contents = [
            content if name == names.name(position) else None
            for position, (content, name) in enumerate(zip(cut, found, strict=True), start=place.segment.first)
        ]
        self._remember(key, contents)
        return contents

    def _remember(self, key: tuple[bytes, int], contents: list[bytes | None]) -> None:
        self._segments[key] = contents
        self._cached_bytes += _size(contents)
        while self._cached_bytes > CACHE_BYTES and len(self._segments) > 1:
            self._cached_bytes -= _size(self._segments.popitem(last=False)[1])

    def _name_list(self, list_id: bytes) -> NameList:
        if list_id not in self._name_lists:
            self._name_lists[list_id] = self._read_name_list(list_id)
        return self._name_lists[list_id]

    def _read_name_list(self, list_id: bytes) -> NameList:
        """From the first place where it is whole."""
        failure: Exception = Malformed(f"the names of the list {list_id.hex()} are nowhere")
        for place in self._catalog.name_lists(list_id):
            try:
                with blaming(place.pack.object_name):
                    names = read_name_list(self._plaintext(place), place.list_row)
                    if len(names) != place.segment.count:
                        raise Malformed("its name list has another number of names than its table says")
                    return names
            except Damaged as damaged:
                failure = damaged
        raise failure

    def _plaintext(self, place: Place) -> bytes:
        """A segment, opened and decompressed (§2.4, §8.2)."""
        pack, segment = place.pack, place.segment
        sealed = self._storage.read_range(Kind.PACK, pack.file_name, segment.start, segment.sealed_length)
        if len(sealed) != segment.sealed_length:
            raise Malformed("it is cut short")
        data = pack.opener(self._ring).open(segment.number, sealed)
        return decompress(data, segment.length) if segment.coding is Coding.ZSTANDARD else data


def _size(contents: list[bytes | None]) -> int:
    return sum(len(content) for content in contents if content is not None)


def _unknown(list_id: bytes, position: int) -> Malformed:
    return Malformed(f"no pack is known that holds the content {position} of the list {list_id.hex()}")
