"""§11.2 The rows of the tables. The first byte of each is its status."""

from collections.abc import Callable
from dataclasses import dataclass

from .encoding import Cursor
from .errors import Malformed

LIVE = 0
FORGOTTEN = 1
DROPPED_PACK = 255


@dataclass(frozen=True)
class PackRow:
    status: int
    length: int
    digest: bytes
    list_digest: bytes

    @property
    def is_live(self) -> bool:
        """Live, or live again."""
        return self.status % 2 == 0

    @property
    def is_dropped(self) -> bool:
        return self.status == DROPPED_PACK


@dataclass(frozen=True)
class IndexRow:
    status: int
    digest: bytes


@dataclass(frozen=True)
class CommitRow:
    status: int
    file_name: str

    @property
    def is_dropped(self) -> bool:
        """Whether its object may be gone."""
        return self.status != LIVE


def is_forgotten_snapshot(row: bytes) -> bool:
    """Whether a row tells which snapshot was forgotten, and by which device. What is behind that is ignored."""
    cursor = Cursor(row)
    try:
        status, _number, _device = cursor.byte(), cursor.varint(), cursor.take(16)
    except Malformed:
        return False
    return status == FORGOTTEN


def read_pack_row(row: bytes) -> PackRow | None:
    """None for a row that a reader ignores, for it does not hold what it should.

    The number of the commit that brought the status is for writers. The digests bind without it, too: who has the key
    could else cut it off to redefine a list.
    """
    cursor = Cursor(row)
    try:
        return PackRow(cursor.byte(), cursor.varint(), cursor.take(16), cursor.take(16))
    except Malformed:
        return None


def read_index_row(row: bytes) -> IndexRow | None:
    """The same of an index object."""
    cursor = Cursor(row)
    try:
        status, _level, _length = cursor.byte(), cursor.varint(), cursor.varint()
        return IndexRow(status, cursor.take(16))
    except Malformed:
        return None


def read_commit_row(row: bytes) -> CommitRow | None:
    cursor = Cursor(row)
    try:
        return CommitRow(cursor.byte(), cursor.text())
    except Malformed:
        return None


LastingPart = Callable[[Cursor], object]
"""Reads over what stays in a row, whatever its status becomes."""

# In the order of the tables: snapshots, packs, index objects, commits, later versions. Of the rows of the first and the last
# nothing needs to stay.
LASTING_PARTS: tuple[LastingPart, ...] = (
    lambda cursor: None,
    lambda cursor: (cursor.varint(), cursor.take(32)),
    lambda cursor: (cursor.varint(), cursor.varint(), cursor.take(16)),
    lambda cursor: cursor.byte_string(),
    lambda cursor: None,
)


def continues(later: bytes, earlier: bytes, lasting_part: LastingPart) -> bool:
    """Whether a row is an earlier one of the same key, or what may have become of it (§11.2)."""
    if later.startswith(earlier):
        return True
    if later < earlier or later[0] == LIVE:
        return False
    try:
        return _cut(later, lasting_part) == _cut(earlier, lasting_part)
    except Malformed:
        return False


def _cut(row: bytes, lasting_part: LastingPart) -> bytes:
    cursor = Cursor(row[1:])
    lasting_part(cursor)
    return row[1 : 1 + cursor.taken]
