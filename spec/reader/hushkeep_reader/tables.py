"""§11.2 Tables."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from .encoding import Cursor, Record
from .errors import Malformed
from .rows import (
    LASTING_PARTS,
    LIVE,
    CommitRow,
    PackRow,
    continues,
    is_forgotten_snapshot,
    read_commit_row,
    read_index_row,
    read_pack_row,
)
from .storage import read_numbered_name

Rows = dict[bytes, bytes]
Row = TypeVar("Row")


@dataclass(frozen=True)
class Tables:
    """The five tables of a commit, or of several that were joined: rows by key."""

    snapshots: Rows = field(default_factory=dict)
    packs: Rows = field(default_factory=dict)
    index_objects: Rows = field(default_factory=dict)
    commits: Rows = field(default_factory=dict)
    later: Rows = field(default_factory=dict)
    """What later versions add. It is joined and continued, and never looked into."""

    def all(self) -> tuple[Rows, Rows, Rows, Rows, Rows]:
        return self.snapshots, self.packs, self.index_objects, self.commits, self.later

    def join(self, other: "Tables") -> "Tables":
        return Tables(*(_join_rows(mine, theirs) for mine, theirs in zip(self.all(), other.all(), strict=True)))

    def live_snapshots(self) -> Rows:
        """The records of the snapshots, by id."""
        return {key: row[1:] for key, row in self.snapshots.items() if row[0] == LIVE}

    @property
    def unknown_snapshots(self) -> list[bytes]:
        """The ids of those that are neither live nor surely forgotten: none may vanish untold (§11.2)."""
        return sorted(
            key for key, row in self.snapshots.items() if row[0] != LIVE and not is_forgotten_snapshot(row)
        )

    @cached_property
    def pack_rows(self) -> dict[bytes, PackRow]:
        return _read_each(self.packs, read_pack_row)

    @cached_property
    def commit_rows(self) -> dict[bytes, CommitRow]:
        return _read_each(self.commits, read_commit_row)

    def live_index_objects(self) -> dict[bytes, bytes]:
        """The digests of the index objects, by id."""
        rows = _read_each(self.index_objects, read_index_row)
        return {key: row.digest for key, row in rows.items() if row.status == LIVE}

    def ancestor_file_names(self) -> set[str]:
        """Those of all ancestors, whatever their status."""
        return {row.file_name for row in self.commit_rows.values()}

    def without_commits_from(self, number: int) -> "Tables":
        """Without the rows of commits whose names have this number or a higher one: no ancestor's name has (§11.2)."""
        return replace(
            self, commits={key: row for key, row in self.commits.items() if not _is_of_commit_from(number, row)}
        )

    def without_left_out(self, later: "Tables") -> "Tables":
        """Without the commits that later tables have no row of: they were left out while they were damaged (§11.4)."""
        return replace(self, commits={key: row for key, row in self.commits.items() if key in later.commits})

    def continue_all(self, earlier: "Tables") -> bool:
        """Whether every row of `earlier` is continued here (§11.4)."""
        return all(
            key in mine and continues(mine[key], row, lasting_part)
            for mine, theirs, lasting_part in zip(self.all(), earlier.all(), LASTING_PARTS, strict=True)
            for key, row in theirs.items()
        )


def read_tables(record: Record, first_field: int, later_field: int) -> Tables:
    """The tables of a commit: four fields in a row, and that of later versions, if it is there."""
    fields = [*range(first_field, first_field + 4), *([later_field] if later_field in record else [])]
    return Tables(*(_read_rows(record.cursor(number)) for number in fields))


def _read_rows(cursor: Cursor) -> Rows:
    rows: Rows = {}
    previous = b""
    while cursor.left:
        key, row = cursor.take(16), cursor.byte_string()
        if key <= previous:
            raise Malformed("the keys of a table do not rise")
        if not row:
            raise Malformed("a row of a table is empty")
        rows[key] = row
        previous = key
    return rows


def _is_of_commit_from(number: int, encoded: bytes) -> bool:
    """A name without a number, or a row that does not hold what it should, is of none."""
    row = read_commit_row(encoded)
    name = read_numbered_name(row.file_name) if row else None
    return name is not None and name.number >= number


def _read_each(rows: Rows, read: Callable[[bytes], Row | None]) -> dict[bytes, Row]:
    """The rows that hold what they should."""
    return {key: row for key, encoded in rows.items() if (row := read(encoded)) is not None}


def _join_rows(one: Rows, other: Rows) -> Rows:
    """Of two rows of one key the greater wins; Python compares bytes just as §11.2 says."""
    return one | {key: max(row, one.get(key, b"")) for key, row in other.items()}
