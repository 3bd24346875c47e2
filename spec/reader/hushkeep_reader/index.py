"""§9 Index objects: where the contents lie."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .encoding import Cursor
from .errors import Damaged, Malformed, NewerVersion, blaming
from .keys import KeyRing, Kind, digest
from .packs import ListRow, Pack, SegmentClass, SegmentRow, Table, read_pack, read_pack_itself, sound_table
from .sealing import open_object
from .storage import Storage, object_name
from .tables import Tables


def find_packs(storage: Storage, ring: KeyRing, tables: Tables, damage: list[Damaged]) -> list[Pack]:
    """All packs that have a live row, from the index objects or, for want of one, from themselves (§9.1)."""
    live = tables.live_packs()
    found: dict[bytes, Pack] = {}
    for index_id, expected in tables.live_index_objects().items():
        try:
            found |= {pack.id: pack for pack in _read_index(storage, ring, index_id, expected, live)}
        except Damaged as damaged:
            damage.append(damaged)
    for pack_id, expected in live.items():
        if pack_id in found:
            continue
        try:
            found[pack_id] = _read_untold_pack(storage, ring, pack_id, expected)
        except Damaged as damaged:
            damage.append(damaged)
    return list(found.values())


def find_unnamed_packs(storage: Storage, ring: KeyRing, tables: Tables) -> list[Pack]:
    """Every pack without a row that opens, for the case that a damaged commit named it (§11.4)."""
    found: list[Pack] = []
    for pack_id in storage.ids(Kind.PACK):
        if pack_id in tables.packs:
            continue
        try:
            found.append(read_pack_itself(storage, pack_id, ring))
        except (Damaged, NewerVersion):
            # Nothing says that it ever was a part of this repository.
            continue
    return found


def _read_index(
    storage: Storage, ring: KeyRing, index_id: bytes, expected: bytes, live: dict[bytes, bytes]
) -> list[Pack]:
    """The packs of an index object, all of which must be those that the tables have (§9.1)."""
    file_name = index_id.hex()
    with blaming(object_name(Kind.INDEX, file_name)):
        _, body = open_object(storage.read(Kind.INDEX, file_name), Kind.INDEX, ring)
        if digest("hushkeep/1 index", body) != expected:
            raise Malformed("it is not the one that the commits name")
        packs = [read_pack(cursor) for cursor in Cursor(body).items()]
        for pack in packs:
            _refuse_unless_live(pack, live.get(pack.id))
        return packs


def _read_untold_pack(storage: Storage, ring: KeyRing, pack_id: bytes, expected: bytes) -> Pack:
    pack = read_pack_itself(storage, pack_id, ring)
    with blaming(pack.object_name):
        _refuse_unless_live(pack, expected)
    return pack


def _refuse_unless_live(pack: Pack, expected: bytes | None) -> None:
    if pack.digest() != expected:
        raise Malformed(f"what it says of the pack {pack.file_name} is not what the commits name")


@dataclass(frozen=True)
class Place:
    """A segment, and the list whose contents it holds."""

    pack: Pack
    list_row: ListRow
    segment: SegmentRow


class _Part:
    """What one pack holds of the contents of one list: segments in the order of their positions."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = sorted(places, key=lambda place: place.segment.first)
        self._firsts = [place.segment.first for place in self._places]

    def find(self, position: int) -> Place | None:
        at = bisect_right(self._firsts, position) - 1
        if at < 0:
            return None
        segment = self._places[at].segment
        return self._places[at] if position < segment.first + segment.count else None


class Catalog:
    """Where each content of each list lies, and where each list's names do."""

    def __init__(self, packs: Iterable[Pack], damage: list[Damaged]) -> None:
        self._parts: dict[bytes, list[_Part]] = {}
        self._name_lists: dict[bytes, list[Place]] = {}
        self.add_all(packs, damage)

    def add_all(self, packs: Iterable[Pack], damage: list[Damaged]) -> None:
        """Adds those packs that are sound."""
        for pack in packs:
            try:
                with blaming(pack.object_name):
                    self._add(pack, sound_table(pack))
            except Damaged as damaged:
                damage.append(damaged)

    def _add(self, pack: Pack, table: Table) -> None:
        by_list: dict[bytes, list[Place]] = {}
        for segment in table.segments:
            list_row = table.lists[segment.list_number]
            place = Place(pack, list_row, segment)
            if segment.segment_class is SegmentClass.NAMES:
                self._name_lists.setdefault(list_row.id, []).append(place)
            elif segment.count:
                by_list.setdefault(list_row.id, []).append(place)
        for list_id, places in by_list.items():
            self._parts.setdefault(list_id, []).append(_Part(places))

    def knows_list(self, list_id: bytes) -> bool:
        return list_id in self._parts

    def knows(self, list_id: bytes, position: int) -> bool:
        return any(True for _ in self.places(list_id, position))

    def places(self, list_id: bytes, position: int) -> Iterator[Place]:
        """Every place where a content lies. Those of one content are worth the same."""
        for part in self._parts.get(list_id, []):
            if place := part.find(position):
                yield place

    def name_lists(self, list_id: bytes) -> list[Place]:
        """Every place where the names of a list lie."""
        return self._name_lists.get(list_id, [])
