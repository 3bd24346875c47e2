"""§11.4 Tips: the state of a repository."""

from dataclasses import dataclass
from functools import cached_property

from .commits import Commit, CommitReader
from .errors import Damaged, NewerVersion, WrongKey
from .keys import KeyRing, Kind
from .sealing import read_unproven_header, read_unproven_headers
from .storage import NumberedName, Storage, object_name
from .tables import Tables


@dataclass(frozen=True)
class History:
    """The tips, their joined tables, and the commits that could not or must not be read."""

    reader: CommitReader
    """The one that read the tips and their bases."""
    listed: list[NumberedName]
    tips: list[Commit]
    tables: Tables
    damage: list[Damaged]
    outdated: list[Commit]
    newer_outdated: list[NumberedName]
    """Outdated ones that a newer program wrote."""
    knows_older_packs: bool
    """Whether there is a row for every pack of the epochs before the newest: a full commit of that has them."""

    @cached_property
    def ring(self) -> KeyRing:
        """With the secrets of older epochs that only tips tell (§3.6). Of two that disagree the first counts."""
        ring = self.reader.ring
        for tip in self.tips:
            ring = ring.with_older(tip.older_secrets)
        return ring

    @cached_property
    def reader_beside_tips(self) -> CommitReader:
        """For commits that are no tips: what tips tell counts once these were read."""
        return CommitReader(self.reader.storage, self.ring)

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
    """Finds the tips and joins their tables.

    A key that was replaced, or is that of a rotation that was not completed, is a wrong one (§12.4, 5).
    """
    reader = CommitReader(storage, ring)
    listed = storage.numbered(Kind.COMMIT)
    found = _Tips(storage, ring, reader, listed, oldest_epoch=ring.newest_epoch)
    lost: list[Damaged] = []
    if not found.tips and ring.newest_epoch > 0:
        lost = _damage_that_left_no_tip(storage, ring, found)
        # Then outdated commits are better than nothing. They hide what is damaged below them, but not what was lost.
        found = _Tips(storage, ring, reader, listed, oldest_epoch=0)
    if not found.tips and listed:
        raise Damaged("commits/", "none of the commits can be read")
    return History(
        reader=reader,
        listed=listed,
        tips=found.tips,
        tables=found.tables,
        damage=list({damaged.subject: damaged for damaged in [*lost, *found.damage]}.values()),
        outdated=[commit for commit in found.outdated if not found.covers(commit)],
        newer_outdated=[name for name in found.newer_outdated if not found.covers_name(name)],
        knows_older_packs=found.knows_older_packs,
    )


def refuse_replaced_key(storage: Storage, ring: KeyRing) -> None:
    """Whatever covers them: no commit continues one of a later epoch, but who stole a replaced key could claim it."""
    if not any(header.is_after(ring) for header in read_unproven_headers(storage, Kind.CONFIG)):
        return
    if any(header.is_after(ring) for header in read_unproven_headers(storage, Kind.COMMIT)):
        raise WrongKey("the key of this repository was replaced; the new one is needed")


def _damage_that_left_no_tip(storage: Storage, ring: KeyRing, found: "_Tips") -> list[Damaged]:
    """Why there is no tip although the config holds (§12.4, 5). Without such damage, it does not."""
    damage = [
        damaged for name, damaged in found.damaged.items() if _may_be_of_epoch(storage, name, ring.newest_epoch)
    ]
    if damage:
        return damage
    if _may_be_given_up(storage, ring):
        raise WrongKey("the key is that of a rotation that was not completed; the old one is needed")
    return [Damaged("commits/", f"the commit that began the epoch {ring.newest_epoch} is missing")]


def _may_be_given_up(storage: Storage, ring: KeyRing) -> bool:
    """Whether a config of before is there, which a rotation deletes last; or it has just been deleted, the listing is old."""
    if any(not storage.has(Kind.CONFIG, name.file_name) for name in storage.numbered(Kind.CONFIG)):
        return True
    return any(header.is_before(ring) for header in read_unproven_headers(storage, Kind.CONFIG))


def _may_be_of_epoch(storage: Storage, name: NumberedName, epoch: int) -> bool:
    """Whether a damaged commit does not say that it is of an earlier one. One that is missing is not damaged."""
    header = read_unproven_header(storage, Kind.COMMIT, name)
    return storage.has(Kind.COMMIT, name.file_name) if header is None else header.epoch >= epoch


class _Tips:
    """The tips among the commits that are listed. Those of epochs before the oldest one that counts are outdated."""

    def __init__(
        self, storage: Storage, ring: KeyRing, reader: CommitReader, listed: list[NumberedName], oldest_epoch: int
    ) -> None:
        self.tips: list[Commit] = []
        self.tables = Tables()
        self.damaged: dict[NumberedName, Damaged] = {}
        self.outdated: list[Commit] = []
        self.newer_outdated: list[NumberedName] = []
        self._storage = storage
        self._ring = ring
        self._reader = reader
        self._oldest_epoch = oldest_epoch
        self._damaged_bases: list[Damaged] = []
        self._full_epochs: set[int] = set()
        self._ancestors: set[str] = set()
        self._read_all(listed)

    @property
    def damage(self) -> list[Damaged]:
        return [*self.damaged.values(), *self._damaged_bases]

    @property
    def knows_older_packs(self) -> bool:
        newest = self._ring.newest_epoch
        return newest in self._full_epochs and all(tip.epoch == newest for tip in self.tips)

    def covers(self, commit: Commit) -> bool:
        """Whether it is an ancestor of a tip, or a tip under a second name."""
        is_tip = any(commit.id == tip.id for tip in self.tips)
        return is_tip or self.covers_name(commit.name) or commit.id in self.tables.commits

    def covers_name(self, name: NumberedName) -> bool:
        return name.file_name in self._ancestors

    def _read_all(self, listed: list[NumberedName]) -> None:
        copies: list[Commit] = []
        for name in listed:
            commit = None if self.covers_name(name) else self._open(name)
            if commit and commit.is_copy:
                copies.append(commit)
            elif commit and commit.epoch < self._oldest_epoch:
                self.outdated.append(commit)
            elif commit:
                self._add(commit)
        self._blame_lost(copies)

    def _open(self, name: NumberedName) -> Commit | None:
        """A commit, unless it is damaged, or of an older key and not understood."""
        self._reader.refuse_newer_key(name)
        try:
            return self._reader.open(name)
        except Damaged as damaged:
            self.damaged[name] = damaged
        except NewerVersion:
            header = read_unproven_header(self._storage, Kind.COMMIT, name)
            if not header or header.epoch >= self._ring.newest_epoch:
                raise
            self.newer_outdated.append(name)
        return None

    def _add(self, commit: Commit) -> None:
        if self.covers(commit):
            return
        tables, full = self._reader.tables(commit)
        if isinstance(full, Damaged):
            self._damaged_bases.append(full)
        else:
            self._full_epochs.add(full.epoch)
        self.tips.append(commit)
        self.tables = self.tables.join(tables)
        self._ancestors |= tables.ancestor_file_names()

    def _blame_lost(self, copies: list[Commit]) -> None:
        """A commit of which there is nothing but a copy under another name is damaged."""
        known = {commit.id for commit in self.outdated}
        for copy in copies:
            if copy.id not in known and not self.covers(copy):
                self.damaged[copy.name] = Damaged(copy.object_name, "it lies under another name than its own")
