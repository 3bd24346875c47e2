"""§11.4 Tips, and what a device remembers."""

from dataclasses import dataclass

from .commits import Commit, CommitReader
from .errors import Damaged, RolledBack
from .keys import KeyRing, Kind
from .storage import NumberedName, Storage
from .tables import Tables


@dataclass(frozen=True)
class Tip:
    """A tip as a device remembers it."""

    id: bytes
    name: NumberedName


@dataclass(frozen=True)
class History:
    """The state of a repository: its tips, their joined tables, and the commits that could not be read."""

    tips: list[Commit]
    tables: Tables
    damage: list[Damaged]

    def newest_config(self) -> tuple[int, bytes] | None:
        """Number and digest of the newest config that a tip names."""
        return max(((tip.config_number, tip.config_digest) for tip in self.tips), default=None)


def read_history(storage: Storage, ring: KeyRing) -> History:
    """Finds the tips and joins their tables (§11.4)."""
    reader = CommitReader(storage, ring)
    tips: list[Commit] = []
    tables = Tables()
    ancestors: set[str] = set()
    damage: list[Damaged] = []
    names = storage.numbered(Kind.COMMIT)
    for name in names:
        if name.file_name in ancestors:
            continue
        try:
            commit = reader.open(name)
        except Damaged as damaged:
            damage.append(damaged)
            continue
        if commit.id in tables.commits or any(commit.id == tip.id for tip in tips):
            continue
        own_tables, damaged_base = reader.tables(commit)
        if damaged_base:
            damage.append(damaged_base)
        tips.append(commit)
        tables = tables.join(own_tables)
        ancestors |= own_tables.ancestor_file_names()
    if names and not tips:
        raise Damaged("commits/", "none of the commits can be read")
    return History(tips, tables, damage)


def check_memory(storage: Storage, ring: KeyRing, history: History, remembered: list[Tip]) -> list[Tip]:
    """Refuses a history that lacks what was seen before, and tells what to remember from now on (§11.4)."""
    reader = CommitReader(storage, ring)
    listed = storage.numbered(Kind.COMMIT)
    kept: list[Tip] = []
    for tip in remembered:
        if any(tip.id == commit.id for commit in history.tips):
            continue
        if tip.name not in listed:
            raise RolledBack(f"the commit {tip.name.file_name}, which was seen before, is gone")
        try:
            commit = reader.open(tip.name)
            tables, damaged_base = reader.tables(commit)
            if damaged_base:
                raise damaged_base
        except Damaged as damaged:
            # It may come back whole, and must then still be continued.
            history.damage.append(damaged)
            kept.append(tip)
            continue
        if commit.id != tip.id or not history.tables.contain(tables):
            raise RolledBack(f"the history does not continue the commit {tip.name.file_name}, which was seen before")
    return kept + [Tip(commit.id, commit.name) for commit in history.tips]
