"""§9.1 Where each content of each list lies, and where each list's names do."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .errors import Refused, blaming
from .pack_tables import ListRow, SegmentRow, Stretch, Table
from .packs import Pack
from .tables import Tables


@dataclass(frozen=True)
class Place:
    """Where a stretch lies: in a segment of a pack, behind so many contents."""

    pack: Pack
    table: Table
    segment: SegmentRow
    stretch: Stretch
    contents_before: int

    def number_in_segment(self, position: int) -> int:
        return self.contents_before + position - self.stretch.first

    def list_row(self, stretch: Stretch) -> ListRow:
        return self.table.lists[stretch.list_number]


class _Part:
    """What one pack holds of the contents of one list: stretches that have nothing in common."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = sorted(places, key=lambda place: place.stretch.first)
        self._firsts = [place.stretch.first for place in self._places]

    def find(self, position: int) -> Place | None:
        at = bisect_right(self._firsts, position) - 1
        return self._places[at] if at >= 0 and position < self._places[at].stretch.end else None


class Catalog:
    """Packs are asked in the order in which they were added."""

    def __init__(self, tables: Tables) -> None:
        self.packs: list[tuple[Pack, Table]] = []
        self._introduced_lists = {pack_id: row.list_digest for pack_id, row in tables.pack_rows.items()}
        self._parts: dict[bytes, list[_Part]] = {}
        self._name_lists: dict[ListRow, list[Place]] = {}

    def add_all(self, packs: Iterable[Pack], damage: list[Refused]) -> None:
        """Adds those packs that are sound."""
        for pack in packs:
            try:
                with blaming(pack.object_name):
                    table = pack.sound_table(self._introduced_lists)
            except Refused as refused:
                damage.append(refused)
            else:
                self._add(pack, table)

    def _add(self, pack: Pack, table: Table) -> None:
        self.packs.append((pack, table))
        by_list: dict[bytes, list[Place]] = {}
        for segment in table.contents:
            for place in places_in(pack, table, segment):
                by_list.setdefault(place.list_row(place.stretch).id, []).append(place)
        for list_id, places in by_list.items():
            self._parts.setdefault(list_id, []).append(_Part(places))
        for segment in table.name_lists:
            for place in places_in(pack, table, segment):
                self._name_lists.setdefault(place.list_row(place.stretch), []).append(place)

    def knows_list(self, list_id: bytes) -> bool:
        """Whether a row has it as its key, or a pack holds it (§10.3)."""
        return list_id in self._introduced_lists or list_id in self._parts

    def places(self, list_id: bytes, position: int) -> Iterator[Place]:
        """Every place where a content lies. Those of one content are worth the same."""
        for part in self._parts.get(list_id, []):
            if place := part.find(position):
                yield place

    def first_gone(self, list_id: bytes, first: int, count: int) -> int | None:
        """The first of contents in a row that lies nowhere (§10.3). Goes from stretch to stretch."""
        position = first
        while position < first + count:
            ends = [place.stretch.end for place in self.places(list_id, position)]
            if not ends:
                return position
            position = max(ends)
        return None

    def name_lists(self, row: ListRow) -> list[Place]:
        """Every place where the names of a list lie."""
        return self._name_lists.get(row, [])


def places_in(pack: Pack, table: Table, segment: SegmentRow) -> Iterator[Place]:
    """A place for each stretch of a segment."""
    contents_before = 0
    for stretch in segment.stretches:
        yield Place(pack, table, segment, stretch, contents_before)
        contents_before += stretch.count
