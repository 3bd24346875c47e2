"""§11.2 Tables."""

from dataclasses import dataclass, field

from .encoding import Cursor, Record
from .errors import Malformed

LIVE = 0

Rows = dict[bytes, bytes]


@dataclass(frozen=True)
class Tables:
    """The four tables of a commit, or of several that were joined: rows by key, the status first."""

    snapshots: Rows = field(default_factory=dict)
    packs: Rows = field(default_factory=dict)
    index_objects: Rows = field(default_factory=dict)
    commits: Rows = field(default_factory=dict)

    def all(self) -> tuple[Rows, Rows, Rows, Rows]:
        return self.snapshots, self.packs, self.index_objects, self.commits

    def join(self, other: "Tables") -> "Tables":
        return Tables(*(_join_rows(mine, theirs) for mine, theirs in zip(self.all(), other.all(), strict=True)))

    def live_snapshots(self) -> Rows:
        """The records of the snapshots, by id."""
        return _live(self.snapshots)

    def live_packs(self) -> dict[bytes, bytes]:
        """The digests of the packs, by id."""
        return _live_digests(self.packs, integers_before=1)

    def live_index_objects(self) -> dict[bytes, bytes]:
        """The digests of the index objects, by id."""
        return _live_digests(self.index_objects, integers_before=2)

    def ancestor_file_names(self) -> set[str]:
        """The file names of all ancestors, as far as they are the names of anything."""
        names = set()
        for row in _live(self.commits).values():
            try:
                names.add(Cursor(row).text())
            except Malformed:
                continue
        return names

    def contain(self, other: "Tables") -> bool:
        """Whether every row of `other` is here, with a status that is not lower and otherwise unchanged (§11.4)."""
        return all(
            key in mine and mine[key][0] >= row[0] and mine[key][1:] == row[1:]
            for mine, theirs in zip(self.all(), other.all(), strict=True)
            for key, row in theirs.items()
        )


def read_tables(record: Record, first_field: int) -> Tables:
    """The tables of a commit, which stand in four fields in a row."""
    return Tables(*(_read_rows(record.cursor(first_field + number)) for number in range(4)))


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


def _join_rows(one: Rows, other: Rows) -> Rows:
    """Of two rows of one key the greater wins; Python compares bytes just as §11.2 says."""
    return one | {key: max(row, one.get(key, b"")) for key, row in other.items()}


def _live(rows: Rows) -> Rows:
    """The live rows, without their status. Those of any other status are no part of the repository."""
    return {key: row[1:] for key, row in rows.items() if row[0] == LIVE}


def _live_digests(rows: Rows, integers_before: int) -> dict[bytes, bytes]:
    """Bytes behind the digest are ignored, and so is a row that does not hold it (§11.2)."""
    digests = {}
    for key, row in _live(rows).items():
        cursor = Cursor(row)
        try:
            for _ in range(integers_before):
                cursor.varint()
            digests[key] = cursor.take(16)
        except Malformed:
            continue
    return digests
