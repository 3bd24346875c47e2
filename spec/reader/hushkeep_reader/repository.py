"""§0.3 How a repository is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeGuard

from .catalog import Catalog
from .configs import UnprovenConfig, matching_configs, open_config, read_unproven_configs
from .contents import Contents
from .errors import Damaged, NewerVersion, NoConfigLeft, NotPossible, Refused, RepositoryDamaged, WrongKey
from .history import History, read_history, refuse_replaced_key
from .index import find_packs, find_unnamed_packs
from .keys import KeyRing
from .memory import SeenTip, check_memory, clock
from .snapshots import Snapshot, read_snapshots
from .storage import Storage
from .unlocking import Unlock, backup_keys


@dataclass
class Repository:
    """An open repository: its snapshots, and where its contents are."""

    storage: Storage
    ring: KeyRing
    configs: list[UnprovenConfig]
    history: History
    snapshots: list[Snapshot]
    config_damage: list[Damaged]
    pack_damage: list[Refused] = field(default_factory=list)

    @property
    def damage(self) -> list[Refused]:
        """All that was found damaged, or too new, up to now."""
        made_good = self.contents.made_good.values() if "contents" in self.__dict__ else []
        return [*self.config_damage, *self.history.damage, *self.pack_damage, *made_good]

    @property
    def unknown_snapshots(self) -> list[bytes]:
        """The ids of snapshots that are there, and of which nothing else can be told (§11.2)."""
        return self.history.tables.unknown_snapshots

    @cached_property
    def contents(self) -> Contents:
        """Opens the index objects (§9.1)."""
        tables = self.history.tables
        catalog = Catalog(tables)
        catalog.add_all(find_packs(self.storage, self.ring, tables, self.pack_damage), self.pack_damage)
        if self.history.damage:
            # Packs that no commit is known to name: one that is unsound is no damage of this repository.
            unnamed = find_unnamed_packs(self.storage, self.ring, tables, self.history.knows_older_packs)
            catalog.add_all(unnamed, damage=[])
        return Contents(self.storage, self.ring, catalog)

    def find(self, id_beginning: str) -> Snapshot:
        """The snapshot whose id begins so; for the empty text the newest one (§11.3)."""
        found = [snapshot for snapshot in self.snapshots if snapshot.id.hex().startswith(id_beginning.lower())]
        if not found:
            raise NotPossible("there is no such snapshot")
        if id_beginning and len(found) > 1:
            raise NotPossible(f"several snapshots begin with {id_beginning}")
        return found[-1]

    def tips_to_remember(self, remembered: list[SeenTip], now: int | None = None) -> list[SeenTip]:
        """Refuses a history that was rolled back (§11.4)."""
        return check_memory(self.history, remembered, clock() if now is None else now)


def open_repository(storage: Storage, unlock: Unlock) -> Repository:
    """Goes through §12.4 and §11.4.

    All protectors are tried, however many forged configs stand before the right one: a reader need not give up.
    """
    damage: list[Damaged] = []
    newer: list[NewerVersion] = []
    configs = read_unproven_configs(storage, damage, newer)
    try:
        return _open_one_of(storage, configs, unlock, damage, newer)
    except (WrongKey, NoConfigLeft) as failure:
        # One that cannot be read may be the one that holds.
        raise newer[0] if newer else failure from None


def _open_one_of(
    storage: Storage, configs: list[UnprovenConfig], unlock: Unlock, damage: list[Damaged], newer: list[NewerVersion]
) -> Repository:
    """The repository, by the first key that opens one.

    If none does, what is proven is told first: that something is newer, or that what a config holds for is damaged.
    """
    failures: list[Failure] = []
    for backup_key in backup_keys(configs, unlock):
        try:
            repository = _open_by_key(storage, backup_key, configs, damage)
            damage += _needless(configs, repository.ring, newer)
            return repository
        except _DoesNotHold as reason:
            failures.append(reason.failure)
            if isinstance(reason.failure, NewerVersion):
                newer.append(reason.failure)
    failure = _most_telling(failures, NewerVersion, RepositoryDamaged, Damaged, WrongKey)
    if _is_of_a_config(failure):
        failure = NoConfigLeft("the newest config is withheld or damaged, and an older one must not be trusted", damage)
    raise failure


def _open_by_key(
    storage: Storage, backup_key: bytes, configs: list[UnprovenConfig], damage: list[Damaged]
) -> Repository:
    """The repository, by the first config of this key that holds (§12.4, 4 and 5).

    If none does, it is told rather that the key was replaced than that one of its configs is damaged. Nothing of this
    key is gone on with beside what a newer program wrote.
    """
    failures: list[Failure] = []
    for unproven in matching_configs(configs, backup_key):
        try:
            return _open_with(storage, unproven, backup_key, configs, damage)
        except _DoesNotHold as reason:
            if isinstance(reason.failure, NewerVersion):
                raise
            failures.append(reason.failure)
            if _is_of_a_config(reason.failure):
                damage.append(reason.failure)
    raise _DoesNotHold(_most_telling(failures, RepositoryDamaged, WrongKey, Damaged))


def _needless(configs: list[UnprovenConfig], ring: KeyRing, newer: list[NewerVersion]) -> Iterator[Damaged]:
    """What lies beside a config that holds and is none of the repository's."""
    for config in configs:
        if config.header.repository != ring.repository:
            yield Damaged(config.object_name, "it belongs to another repository")
    for too_new in newer:
        yield Damaged(too_new.subject, too_new.reason)


Failure = Refused | WrongKey


class _DoesNotHold(Exception):
    """That a config does not hold, or opens nothing. The next one may."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def _is_of_a_config(failure: Failure) -> TypeGuard[Damaged]:
    return isinstance(failure, Damaged) and not isinstance(failure, RepositoryDamaged)


def _most_telling(failures: list[Failure], *kinds: type[Failure]) -> Failure:
    """The first failure of the first kind that is among them."""
    return next(failure for kind in kinds for failure in failures if isinstance(failure, kind))


@contextmanager
def _beyond_the_config() -> Iterator[None]:
    """What is damaged inside is not the config, which opens nothing all the same (§12.4, 5)."""
    try:
        yield
    except Damaged as damaged:
        raise _DoesNotHold(RepositoryDamaged(damaged.subject, damaged.reason)) from damaged
    except (WrongKey, NewerVersion) as failure:
        raise _DoesNotHold(failure) from failure


def _open_with(
    storage: Storage, unproven: UnprovenConfig, backup_key: bytes, configs: list[UnprovenConfig], damage: list[Damaged]
) -> Repository:
    """The repository, if this config holds (§12.4, 5 and 6). One with a key that was replaced does not."""
    try:
        config = open_config(unproven, unproven.keys(backup_key))
    except Refused as refused:
        raise _DoesNotHold(refused) from refused
    with _beyond_the_config():
        refuse_replaced_key(storage, config.ring)
        history = read_history(storage, config.ring)
    if not history.ring.is_of_one_epoch(backup_key):
        raise _DoesNotHold(Damaged(unproven.object_name, "its key is that of an earlier epoch, too"))
    if not config.is_newest(history.newest_config(unproven.header.epoch)):
        raise _DoesNotHold(Damaged(unproven.object_name, "the commits name a newer config"))
    with _beyond_the_config():
        snapshots = read_snapshots(history.tables.live_snapshots())
    return Repository(storage, history.ring, configs, history, snapshots, damage)
