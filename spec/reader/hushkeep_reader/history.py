"""§11.4 Tips: the state of a repository."""

from dataclasses import dataclass

from .commits import Commit, CommitReader
from .errors import Damaged, NewerVersion
from .keys import KeyRing, Kind
from .sealing import read_unproven_header
from .storage import NumberedName, Storage, object_name
from .tables import Tables

# A commit is stored within this time, in seconds, after its own; if the storage says later, it was stored again.
LONGEST_STORING = 86_400


@dataclass(frozen=True)
class History:
    """The tips, their joined tables, and the commits that could not or must not be read."""

    reader: CommitReader
    listed: list[NumberedName]
    tips: list[Commit]
    tables: Tables
    damage: list[Damaged]
    outdated: list[Commit]
    newer_outdated: list[NumberedName]
    """Outdated ones that a newer program wrote."""
    knows_older_packs: bool
    """Whether there is a row for every pack of the epochs before the newest.

    A full commit of that has them, but for those of commits that came too late.
    """

    @property
    def outdated_names(self) -> list[str]:
        """What must not be used, to be told of."""
        names = [commit.object_name for commit in self.outdated]
        return names + [object_name(Kind.COMMIT, name.file_name) for name in self.newer_outdated]

    def newest_config(self, epoch: int) -> tuple[int, bytes] | None:
        """Number and digest of the newest config that a tip of an epoch names."""
        named = ((tip.config_number, tip.config_digest) for tip in self.tips if tip.epoch == epoch)
        return max(named, default=None)


def read_history(storage: Storage, ring: KeyRing) -> History:
    """Finds the tips and joins their tables."""
    listed = storage.numbered(Kind.COMMIT)
    found = _Tips(storage, ring)
    outdated: list[Commit] = []
    copies: list[Commit] = []
    for name in listed:
        commit = found.open(name)
        if commit and commit.is_copy:
            copies.append(commit)
        elif commit and commit.epoch < ring.newest_epoch:
            outdated.append(commit)
        elif commit:
            found.add(commit)
    unused = _add_seen_too_late(storage, found, listed, outdated)
    known = {commit.id for commit in outdated}
    if not found.tips and (found.damage or found.lost(copies, known)):
        # Damage left no tip: then outdated commits are better than nothing.
        for commit in outdated:
            found.add_outdated(commit)
        unused = []
    found.damage += found.lost(copies, known)
    if not found.tips and found.damage:
        raise Damaged("commits/", "none of the commits can be read")
    is_newest_alone = all(tip.epoch == ring.newest_epoch for tip in found.tips)
    knows_older_packs = is_newest_alone and ring.newest_epoch in found.full_epochs
    return History(
        found.reader, listed, found.tips, found.tables, found.damage, unused, found.newer_outdated, knows_older_packs
    )


class _Tips:
    """The tips that were found up to now."""

    def __init__(self, storage: Storage, ring: KeyRing) -> None:
        self.reader = CommitReader(storage, ring)
        self.tips: list[Commit] = []
        self.tables = Tables()
        self.damage: list[Damaged] = []
        self.newer_outdated: list[NumberedName] = []
        self.full_epochs: set[int] = set()
        self._storage = storage
        self._ring = ring
        self._ancestors: set[str] = set()

    def open(self, name: NumberedName) -> Commit | None:
        """A commit, unless it is an ancestor, damaged, or of an older key and not understood."""
        if name.file_name in self._ancestors:
            return None
        self.reader.refuse_newer_key(name)
        try:
            return self.reader.open(name)
        except Damaged as damaged:
            self.damage.append(damaged)
        except NewerVersion:
            header = read_unproven_header(self._storage, Kind.COMMIT, name)
            if not header or header.epoch >= self._ring.newest_epoch:
                raise
            self.newer_outdated.append(name)
        return None

    def covers(self, commit: Commit) -> bool:
        """Whether it is an ancestor of a tip, or a tip under a second name."""
        is_tip = any(commit.id == tip.id for tip in self.tips)
        return is_tip or commit.name.file_name in self._ancestors or commit.id in self.tables.commits

    def add(self, commit: Commit) -> None:
        if self.covers(commit):
            return
        tables, full = self.reader.tables(commit)
        if isinstance(full, Damaged):
            self.damage.append(full)
        else:
            self.full_epochs.add(full.epoch)
        self.tips.append(commit)
        self.tables = self.tables.join(tables)
        self._ancestors |= tables.ancestor_file_names()

    def add_outdated(self, commit: Commit) -> None:
        """One of which only a newer program understands a base is none either."""
        try:
            self.add(commit)
        except NewerVersion:
            self.newer_outdated.append(commit.name)

    def lost(self, copies: list[Commit], known: set[bytes]) -> list[Damaged]:
        """Commits of which there is nothing but a copy under another name."""
        lost = (copy for copy in copies if copy.id not in known and not self.covers(copy))
        return [Damaged(copy.object_name, "it lies under another name than its own") for copy in lost]


def _add_seen_too_late(
    storage: Storage, found: _Tips, listed: list[NumberedName], outdated: list[Commit]
) -> list[Commit]:
    """Adds what was stored before its own epoch ended, and only seen too late. Gives what must not be used."""
    ends = {commit.epoch: _stored_end_of(storage, found, listed, commit.epoch) for commit in outdated}
    unused = []
    for commit in outdated:
        if found.covers(commit):
            continue
        stored, end = storage.stored_at(Kind.COMMIT, commit.name.file_name), ends[commit.epoch]
        if end is not None and stored is not None and stored <= end:
            found.add_outdated(commit)
        else:
            unused.append(commit)
    return unused


def _stored_end_of(storage: Storage, found: _Tips, listed: list[NumberedName], epoch: int) -> int | None:
    """When the storage got the commit that ended an epoch by beginning the next, if it could miss an earlier one.

    One whose name is the number alone took it before anybody else could, after it had seen all that was there. Nor does
    a time count that is much later than the commit's own: who stores it again would make room for what came after it.
    """
    first = _first_of_epoch(found, epoch + 1)
    if not first or first.name not in listed or "-" not in first.name.file_name:
        return None
    stored = storage.stored_at(Kind.COMMIT, first.name.file_name)
    if stored is None or stored // 10**9 > first.time.seconds + LONGEST_STORING:
        return None
    return stored


def _first_of_epoch(found: _Tips, epoch: int) -> Commit | None:
    if not found.tips or epoch > len(found.tips[0].epoch_starts):
        return None
    tip, start = found.tips[0], found.tips[0].epoch_starts[epoch - 1]
    if start == tip.id:
        return tip
    row = found.tables.commit_rows.get(start)
    try:
        return found.reader.open_named(start, row.file_name) if row else None
    except (Damaged, NewerVersion):
        return None
