"""Reading every object whole, so that every bit of it is proven."""

from collections.abc import Iterator

from .catalog import places_in
from .commits import CommitReader
from .configs import open_config
from .errors import Damaged, Malformed, Refused, blaming
from .keys import Kind
from .pack_tables import TAG_LENGTH, SegmentClass, SegmentRow, Table
from .packs import Pack, read_pack_itself
from .repository import Repository
from .sealing import LENGTH_LENGTH, MIN_TRAILER_LENGTH


def check_objects(repository: Repository) -> list[Refused]:
    """What is damaged beyond what opening the repository tells. (It reads index objects whole.)"""
    found = [*_check_configs(repository), *_check_commits(repository), *_check_packs(repository)]
    return list({str(refused): refused for refused in found}.values())


def _check_configs(repository: Repository) -> Iterator[Refused]:
    """Copies of the one that holds, and those of epochs that are known."""
    for config in repository.configs:
        keys = repository.ring.epochs.get(config.header.epoch)
        try:
            if keys and keys.confirms(config.key_check):
                open_config(config, keys)
        except Refused as refused:
            yield refused


def _check_commits(repository: Repository) -> Iterator[Refused]:
    """Ancestors, too: a device may remember them. What is not used need not be understood.

    Of an ancestor that should be there the tables have the id (§11.2): another commit in its place is damage.
    """
    reader = CommitReader(repository.storage, repository.ring)
    ancestors = _ids_of_ancestors(repository)
    for name in repository.history.listed:
        if name in repository.history.newer_outdated:
            continue
        try:
            if name.file_name in ancestors:
                reader.open_one_of(ancestors[name.file_name], name)
            else:
                reader.open_vouched(name)
        except Refused as refused:
            yield refused


def _ids_of_ancestors(repository: Repository) -> dict[str, list[bytes]]:
    """By file name. A name of which all were dropped is free, and may have been used again."""
    rows = repository.history.tables.commit_rows
    names = {row.file_name for row in rows.values() if not row.is_dropped}
    return {name: [commit_id for commit_id, row in rows.items() if row.file_name == name] for name in names}


def _check_packs(repository: Repository) -> Iterator[Refused]:
    for pack, table in repository.contents.catalog.packs:
        try:
            if read_pack_itself(repository.storage, pack.id, repository.ring) != pack:
                raise Damaged(pack.object_name, "its header or its table is not what is known of it")
            with blaming(pack.object_name):
                _check_padding(repository, pack, table)
        except Refused as refused:
            yield refused
        for segment in table.segments:
            try:
                _check_segment(repository, pack, table, segment)
            except Refused as refused:
                yield refused


def _check_padding(repository: Repository, pack: Pack, table: Table) -> None:
    """§2.5."""
    trailer_length = MIN_TRAILER_LENGTH + len(pack.encoded_table)
    length = pack.length - LENGTH_LENGTH - trailer_length - table.end
    if length < TAG_LENGTH:
        raise Malformed("it has no padding")
    sealed = repository.storage.read_range(Kind.PACK, pack.file_name, table.end, length)
    pack.opener(repository.ring).open_padding(len(table.segments), sealed)


def _check_segment(repository: Repository, pack: Pack, table: Table, segment: SegmentRow) -> None:
    place = next(places_in(pack, table, segment))
    if segment.segment_class == SegmentClass.NAMES:
        repository.contents.read_name_list_at(place)
    else:
        repository.contents.refuse_unless_whole(place)
