"""§11.4 Tips: the state of a repository."""

from dataclasses import dataclass

from .commits import Commit, CommitReader
from .errors import Damaged
from .keys import KeyRing, Kind
from .storage import NumberedName, Storage
from .tables import Tables


@dataclass(frozen=True)
class History:
    """The tips, their joined tables, and the commits that could not or must not be read."""

    reader: CommitReader
    listed: list[NumberedName]
    tips: list[Commit]
    tables: Tables
    damage: list[Damaged]
    outdated: list[Commit]

    def newest_config(self) -> tuple[int, bytes] | None:
        """Number and digest of the newest config that a tip names."""
        return max(((tip.config_number, tip.config_digest) for tip in self.tips), default=None)


def read_history(storage: Storage, ring: KeyRing) -> History:
    """Finds the tips and joins their tables."""
    listed = storage.numbered(Kind.COMMIT)
    found = _Tips(CommitReader(storage, ring))
    outdated: list[Commit] = []
    for name in listed:
        commit = found.open(name)
        if commit and commit.epoch < ring.newest_epoch:
            outdated.append(commit)
        elif commit:
            found.add(commit)
    unused = _add_seen_too_late(storage, found, outdated)
    if not found.tips and found.damage:
        # Damage left no tip: then outdated commits are better than nothing.
        for commit in outdated:
            found.add(commit)
        unused = []
        if not found.tips:
            raise Damaged("commits/", "none of the commits can be read")
    return History(found.reader, listed, found.tips, found.tables, found.damage, unused)


class _Tips:
    """The tips that were found up to now."""

    def __init__(self, reader: CommitReader) -> None:
        self.reader = reader
        self.tips: list[Commit] = []
        self.tables = Tables()
        self.damage: list[Damaged] = []
        self._ancestors: set[str] = set()

    def open(self, name: NumberedName) -> Commit | None:
        """A commit, unless it is an ancestor or damaged."""
        if name.file_name in self._ancestors:
            return None
        self.reader.refuse_newer_key(name)
        try:
            return self.reader.open(name)
        except Damaged as damaged:
            self.damage.append(damaged)
            return None

    def covers(self, commit: Commit) -> bool:
        """Whether it is an ancestor of a tip, or a tip under a second name."""
        is_tip = any(commit.id == tip.id for tip in self.tips)
        return is_tip or commit.name.file_name in self._ancestors or commit.id in self.tables.commits

    def add(self, commit: Commit) -> None:
        if self.covers(commit):
            return
        own_tables, damaged_base = self.reader.tables(commit)
        if damaged_base:
            self.damage.append(damaged_base)
        self.tips.append(commit)
        self.tables = self.tables.join(own_tables)
        self._ancestors |= own_tables.ancestor_file_names()


def _add_seen_too_late(storage: Storage, found: _Tips, outdated: list[Commit]) -> list[Commit]:
    """Adds what was stored before its own epoch ended, and only seen too late. Gives what must not be used."""
    ends = {commit.epoch: _stored_end_of(storage, found, commit.epoch) for commit in outdated}
    unused = []
    for commit in outdated:
        if found.covers(commit):
            continue
        stored, end = storage.stored_at(Kind.COMMIT, commit.name.file_name), ends[commit.epoch]
        if end is not None and stored is not None and stored <= end:
            found.add(commit)
        else:
            unused.append(commit)
    return unused


def _stored_end_of(storage: Storage, found: _Tips, epoch: int) -> int | None:
    """When the storage got the commit that ended an epoch by beginning the next, if it could miss an earlier one.

    One whose name is the number alone took it before anybody else could, after it had seen all that was there.
    """
    if not found.tips or epoch >= len(found.tips[0].epoch_starts):
        return None
    tip, start = found.tips[0], found.tips[0].epoch_starts[epoch]
    row = found.tables.commit_rows.get(start)
    file_name = tip.name.file_name if start == tip.id else row and row.file_name
    return storage.stored_at(Kind.COMMIT, file_name) if file_name and "-" in file_name else None
