"""§11.1 Commits, and §11.2, their chains."""

from dataclasses import dataclass

from .encoding import Cursor, read_record
from .errors import Damaged, Malformed, blaming
from .keys import KeyRing, Kind, digest, read_older_secrets
from .nodes import MAX_DEPTH
from .sealing import open_object
from .storage import NumberedName, Storage, object_name, read_numbered_name
from .tables import Tables, read_tables


@dataclass(frozen=True)
class Parent:
    id: bytes
    name: NumberedName


@dataclass(frozen=True)
class Commit:
    """One commit, with the rows that it has itself."""

    id: bytes
    name: NumberedName
    parents: list[Parent]
    config_number: int
    config_digest: bytes
    depth: int
    own_tables: Tables


def read_commit(body: bytes, name: NumberedName, epoch: int) -> Commit:
    """§11.1."""
    record = read_record(body, last_known=14)
    if record.integer(1) != name.number:
        raise Malformed("its number is not the one in its name")
    for only_checked in (4, 8, 9):
        record.integer(only_checked)
    record.time(3)
    read_older_secrets(record.raw(6), sealed_under=epoch)
    parents = [_read_parent(cursor) for cursor in record.cursor(2).items()]
    depth = record.integer(7, below=MAX_DEPTH + 1)
    if depth and not parents:
        raise Malformed("it is a delta without a base")
    return Commit(
        id=digest("hushkeep/1 commit id", body),
        name=name,
        parents=parents,
        config_number=record.integer(5),
        config_digest=record.fixed(14, 16),
        depth=depth,
        own_tables=read_tables(record, first_field=10),
    )


def _read_parent(cursor: Cursor) -> Parent:
    """A parent's file name becomes a part of a path, so it must be the name of a commit."""
    commit_id, name = cursor.take(16), read_numbered_name(cursor.text())
    if not name:
        raise Malformed("a parent's name is not that of a commit")
    return Parent(commit_id, name)


class CommitReader:
    """Opens commits, each at most once."""

    def __init__(self, storage: Storage, ring: KeyRing) -> None:
        self._storage = storage
        self._ring = ring
        self._opened: dict[str, Commit | Damaged] = {}

    def open(self, name: NumberedName) -> Commit:
        if name.file_name not in self._opened:
            try:
                self._opened[name.file_name] = self._read(name)
            except Damaged as damaged:
                self._opened[name.file_name] = damaged
        commit = self._opened[name.file_name]
        if isinstance(commit, Damaged):
            raise commit
        return commit

    def tables(self, commit: Commit) -> tuple[Tables, Damaged | None]:
        """The tables of a commit and its bases; with damage, only what the commits above it say (§11.2, §11.4)."""
        tables = commit.own_tables
        while commit.depth:
            try:
                commit = self._base(commit)
            except Damaged as damaged:
                return tables, damaged
            tables = commit.own_tables.join(tables)
        return tables, None

    def _base(self, commit: Commit) -> Commit:
        """The base of a delta is its first parent (§11.2)."""
        parent = commit.parents[0]
        with blaming(object_name(Kind.COMMIT, parent.name.file_name)):
            base = self.open(parent.name)
            if base.id != parent.id:
                raise Malformed("it is not the commit that its successor names")
            if base.depth != commit.depth - 1:
                raise Malformed("its depth is not one less than that of its successor")
        return base

    def _read(self, name: NumberedName) -> Commit:
        with blaming(object_name(Kind.COMMIT, name.file_name)):
            header, body = open_object(self._storage.read(Kind.COMMIT, name.file_name), Kind.COMMIT, self._ring)
            return read_commit(body, name, header.epoch)
