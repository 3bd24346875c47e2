"""§0.3 How a repository is opened."""

from dataclasses import dataclass, field
from functools import cached_property

from .configs import Config, Unlock, matching_configs, may_hold, open_config, read_unproven_configs
from .contents import Contents
from .errors import Damaged, NotPossible
from .history import History, Tip, check_memory, read_history
from .index import Catalog, find_packs, find_unnamed_packs
from .snapshots import Snapshot, read_snapshots
from .storage import Storage


@dataclass
class Repository:
    """An open repository: its snapshots, and where its contents are."""

    storage: Storage
    config: Config
    history: History
    snapshots: list[Snapshot]
    config_damage: list[Damaged]
    pack_damage: list[Damaged] = field(default_factory=list)

    @property
    def damage(self) -> list[Damaged]:
        """All that was found damaged up to now."""
        return self.config_damage + self.history.damage + self.pack_damage

    @cached_property
    def contents(self) -> Contents:
        """Opens the index objects (§9.1)."""
        ring, tables = self.config.ring, self.history.tables
        packs = find_packs(self.storage, ring, tables, self.pack_damage)
        catalog = Catalog(packs, self.pack_damage)
        if self.history.damage:
            # Packs that no commit is known to name: one that is unsound is no damage of this repository.
            catalog.add_all(find_unnamed_packs(self.storage, ring, tables), damage=[])
        return Contents(self.storage, ring, catalog)

    def find(self, id_beginning: str) -> Snapshot:
        """The snapshot whose id begins so; for the empty text the newest one (§11.3)."""
        found = [snapshot for snapshot in self.snapshots if snapshot.id.hex().startswith(id_beginning.lower())]
        if not found:
            raise NotPossible("there is no such snapshot")
        if id_beginning and len(found) > 1:
            raise NotPossible(f"several snapshots begin with {id_beginning}")
        return found[-1]

    def tips_to_remember(self, remembered: list[Tip]) -> list[Tip]:
        """Refuses a history that was rolled back (§11.4)."""
        return check_memory(self.storage, self.config.ring, self.history, remembered)


def open_repository(storage: Storage, unlock: Unlock) -> Repository:
    """Goes through §12.4 and §11.4."""
    damage: list[Damaged] = []
    configs = read_unproven_configs(storage, damage)
    backup_key = unlock(configs[0])
    for unproven in matching_configs(configs, backup_key):
        try:
            config = open_config(unproven, backup_key)
        except Damaged as damaged:
            damage.append(damaged)
            continue
        history = read_history(storage, config.ring)
        if may_hold(config, history.newest_config()):
            snapshots = read_snapshots(history.tables.live_snapshots())
            return Repository(storage, config, history, snapshots, damage)
    raise Damaged("config/", "the newest config is withheld or damaged, and an older one must not be trusted")
