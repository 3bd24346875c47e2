"""§11.1 Commits, and §11.2, their chains."""

from dataclasses import dataclass

from .encoding import Cursor, read_record
from .errors import Damaged, Malformed, NewerVersion, TooNew, WrongKey, blaming
from .keys import KeyRing, Kind, digest, read_older_secrets
from .nodes import MAX_DEPTH
from .sealing import (
    Header,
    decode_body,
    open_object,
    open_single,
    read_header,
    read_unproven_header,
    read_unproven_headers,
)
from .storage import NumberedName, Storage, is_file_name, object_name, read_numbered_name
from .tables import Tables, read_tables


@dataclass(frozen=True)
class Parent:
    id: bytes
    file_name: str


@dataclass(frozen=True)
class Commit:
    """One commit, with the rows that it has itself."""

    id: bytes
    name: NumberedName
    """The one under which it was found."""
    own_file_name: str
    """The one that it says of itself. Under another it is a copy."""
    epoch: int
    parents: list[Parent]
    config_number: int
    config_digest: bytes
    older_secrets: dict[int, bytes]
    depth: int
    own_tables: Tables

    @property
    def object_name(self) -> str:
        return object_name(Kind.COMMIT, self.name.file_name)

    @property
    def is_copy(self) -> bool:
        return self.own_file_name != self.name.file_name


def read_commit(body: bytes, name: NumberedName, epoch: int) -> Commit:
    """§11.1."""
    record = read_record(body, last_known=16, optional={16})
    if record.integer(1) != name.number:
        raise Malformed("its number is not the one in its name")
    record.time(3)
    for only_checked in (4, 8, 9):
        record.integer(only_checked)
    own_file_name = record.raw(15)
    if not is_file_name(own_file_name):
        raise Malformed("the name that it has of itself cannot be that of an object")
    parents = [_read_parent(cursor) for cursor in record.cursor(2).items()]
    depth = record.integer(7, below=MAX_DEPTH + 1)
    if depth and not parents:
        raise Malformed("it is a delta without a base")
    return Commit(
        id=_commit_id(body),
        name=name,
        own_file_name=own_file_name.decode(),
        epoch=epoch,
        parents=parents,
        config_number=record.integer(5),
        config_digest=record.fixed(14, 16),
        older_secrets=read_older_secrets(record.raw(6), sealed_under=epoch),
        depth=depth,
        # Who had the key could else call the commits of a later rotation dropped ancestors, before it comes.
        own_tables=read_tables(record, first_field=10, later_field=16).without_commits_from(name.number),
    )


def _commit_id(body: bytes) -> bytes:
    """§11.1."""
    return digest("hushkeep/1 commit id", body)


def open_commit(data: bytes, header: Header, name: NumberedName, ring: KeyRing) -> Commit:
    return read_commit(decode_body(open_single(data, header, ring)), name, header.epoch)


def _read_parent(cursor: Cursor) -> Parent:
    """A parent's file name becomes a part of a path, so it must be the name of an object."""
    commit_id, name = cursor.take(16), cursor.byte_string()
    if not is_file_name(name):
        raise Malformed("a parent's name cannot be that of an object")
    return Parent(commit_id, name.decode())


class CommitReader:
    """Opens commits, each at most once."""

    def __init__(self, storage: Storage, ring: KeyRing) -> None:
        self.storage = storage
        self.ring = ring
        self._opened: dict[str, Commit | Damaged] = {}

    def refuse_newer_key(self, name: NumberedName) -> None:
        """A commit of an unknown epoch, which no tip covers, is damaged, or tells that the key was changed (§11.4)."""
        header = read_unproven_header(self.storage, Kind.COMMIT, name)
        is_own = header is not None and header.repository == self.ring.repository
        if is_own and header.epoch not in self.ring.epochs and self._says_a_config_that_the_key_was_changed():
            raise WrongKey("the key of this repository was changed; the new one is needed")

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

    def open_vouched(self, name: NumberedName) -> Commit:
        """Where another says that there is a commit, what a newer program wrote under an older key is damage."""
        try:
            return self.open(name)
        except NewerVersion as newer:
            header = read_unproven_header(self.storage, Kind.COMMIT, name)
            if header and header.epoch < self.ring.newest_epoch:
                raise Damaged(object_name(Kind.COMMIT, name.file_name), "it is sealed under an old key") from newer
            raise

    def tables(self, commit: Commit) -> tuple[Tables, Commit | Damaged]:
        """The tables of a commit and its bases, and the full commit below them.

        With damage in its place, only what the commits above the damage say (§11.2, §11.4).
        """
        tables = commit.own_tables
        while commit.depth:
            try:
                commit = self._base(commit)
            except Damaged as damaged:
                return tables, damaged
            tables = commit.own_tables.join(tables)
        return tables, commit

    def open_named(self, commit_id: bytes, file_name: str) -> Commit:
        """A commit as another names it."""
        with blaming(object_name(Kind.COMMIT, file_name)):
            name = read_numbered_name(file_name)
            if not name:
                raise Malformed("it is called by a name that is no commit's")
            commit = self.open_with_id(name, commit_id)
            if not commit or commit.is_copy:
                raise Malformed("it is not the commit that another names")
        return commit

    def open_one_of(self, ids: list[bytes], name: NumberedName) -> Commit:
        """One of the commits of this name that others name."""
        commits = (self.open_with_id(name, commit_id) for commit_id in ids)
        with blaming(object_name(Kind.COMMIT, name.file_name)):
            commit = next((commit for commit in commits if commit), None)
            if not commit:
                raise Malformed("it is not the commit that another names")
        return commit

    def open_with_id(self, name: NumberedName, commit_id: bytes) -> Commit | None:
        """None if it has another id than something vouches for. That is compared before its record is read (§11.2)."""
        try:
            found: bytes | None = self.open(name).id
        except (Damaged, NewerVersion):
            found = self._id_of_refused(name)
        return self.open_vouched(name) if found in (commit_id, None) else None

    def _id_of_refused(self, name: NumberedName) -> bytes | None:
        """The id is that of the body, whatever the record. None where that is refused, too."""
        try:
            _, body = open_object(self.storage.read(Kind.COMMIT, name.file_name), Kind.COMMIT, self.ring)
        except (Malformed, TooNew, Damaged):
            return None
        return _commit_id(body)

    def _base(self, commit: Commit) -> Commit:
        """The base of a delta is its first parent (§11.2)."""
        parent = commit.parents[0]
        base = self.open_named(parent.id, parent.file_name)
        with blaming(base.object_name):
            if base.depth != commit.depth - 1:
                raise Malformed("its depth is not one less than that of its successor")
            if base.name.number >= commit.name.number:
                raise Malformed("its number is not below that of its successor")
        return base

    def _read(self, name: NumberedName) -> Commit:
        with blaming(object_name(Kind.COMMIT, name.file_name)):
            data = self.storage.read(Kind.COMMIT, name.file_name)
            return open_commit(data, read_header(data, Kind.COMMIT), name, self.ring)

    def _says_a_config_that_the_key_was_changed(self) -> bool:
        return any(header.is_after(self.ring) for header in read_unproven_headers(self.storage, Kind.CONFIG))
