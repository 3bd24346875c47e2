"""§9 Index objects: which packs there are."""

from collections.abc import Iterator

from .encoding import Cursor
from .errors import Damaged, Malformed, Refused, blaming
from .keys import KeyRing, Kind, digest
from .packs import Pack, read_pack, read_pack_itself
from .rows import PackRow
from .sealing import open_object
from .storage import Storage, object_name
from .tables import Tables


def find_packs(storage: Storage, ring: KeyRing, tables: Tables, damage: list[Refused]) -> list[Pack]:
    """All packs that have a live or marked row, live ones first.

    They are taken from the index objects or, for want of one, from themselves.
    """
    rows = {pack_id: row for pack_id, row in tables.pack_rows.items() if not row.is_dropped}
    found: dict[bytes, Pack] = {}
    for index_id, expected in tables.live_index_objects().items():
        try:
            for pack in _read_index(storage, ring, index_id, expected):
                row = tables.pack_rows.get(pack.id)
                if not row or not row.is_dropped:
                    _add_if_told_rightly(found, pack, row, index_id, damage)
        except Refused as refused:
            damage.append(refused)
    for pack_id, row in rows.items():
        if pack_id in found:
            continue
        try:
            found[pack_id] = _read_untold_pack(storage, ring, pack_id, row)
        except Refused as refused:
            damage.append(refused)
    return sorted(found.values(), key=lambda pack: not rows[pack.id].is_live)


def find_unnamed_packs(storage: Storage, ring: KeyRing, tables: Tables, knows_older: bool) -> list[Pack]:
    """Every pack without a row that opens, for the case that a damaged commit named it (§11.4).

    If all packs of the older epochs are known, who puts one more there has an old key.
    """
    found: list[Pack] = []
    for pack_id in sorted(storage.ids(Kind.PACK)):
        if pack_id in tables.pack_rows:
            continue
        try:
            pack = read_pack_itself(storage, pack_id, ring)
        except Refused:
            # Nothing says that it ever was a part of this repository.
            continue
        if pack.epoch == ring.newest_epoch or not knows_older:
            found.append(pack)
    return found


def _read_index(storage: Storage, ring: KeyRing, index_id: bytes, expected: bytes) -> Iterator[Pack]:
    """What an index object tells of packs."""
    file_name = index_id.hex()
    with blaming(object_name(Kind.INDEX, file_name)):
        _, body = open_object(storage.read(Kind.INDEX, file_name), Kind.INDEX, ring)
        if digest("hushkeep/1 index", body) != expected:
            raise Malformed("it is not the one that the commits name")
        for cursor in Cursor(body).items():
            yield read_pack(cursor)


def _add_if_told_rightly(
    found: dict[bytes, Pack], pack: Pack, row: PackRow | None, index_id: bytes, damage: list[Refused]
) -> None:
    """Adds a pack that is told of as the tables have it. If an index object says anything else, that is damage."""
    try:
        with blaming(object_name(Kind.INDEX, index_id.hex())):
            if not row or (row.digest, row.length) != (pack.digest(), pack.length):
                raise Malformed(f"what it says of the pack {pack.file_name} is not what the commits name")
            pack.refuse_malformed_table()
            found[pack.id] = pack
    except Refused as refused:
        damage.append(refused)


def _read_untold_pack(storage: Storage, ring: KeyRing, pack_id: bytes, row: PackRow) -> Pack:
    pack = read_pack_itself(storage, pack_id, ring, row.length)
    if pack.digest() != row.digest:
        raise Damaged(pack.object_name, "it is not the one that the commits name")
    return pack
