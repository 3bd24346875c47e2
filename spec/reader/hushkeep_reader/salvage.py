"""§3.6, at its end: how a repository is opened of which no config is left."""

from .commits import Commit, open_commit
from .errors import Damaged, NoConfigLeft, WrongKey, blaming
from .history import read_history
from .keys import EpochKeys, KeyRing, Kind
from .repository import Repository
from .sealing import Header, read_unproven_header
from .snapshots import read_snapshots
from .storage import NumberedName, Storage, object_name


def salvage_repository(storage: Storage, backup_key: bytes) -> Repository:
    """Takes all that a config tells from the newest commit that opens under the key itself."""
    history = read_history(storage, _find_ring(storage, backup_key))
    snapshots = read_snapshots(history.tables.live_snapshots())
    damage: list[Damaged] = [NoConfigLeft("the repository was opened without any", [])]
    return Repository(storage, history.ring, configs=[], history=history, snapshots=snapshots, config_damage=damage)


def _find_ring(storage: Storage, backup_key: bytes) -> KeyRing:
    names = storage.numbered(Kind.COMMIT)
    headers = [(name, header) for name in names if (header := read_unproven_header(storage, Kind.COMMIT, name))]
    ring = _newest_ring(storage, backup_key, headers)
    for name, header in headers:
        if header.is_after(ring):
            raise WrongKey(f"{name.file_name} was written under a newer key")
    return ring


def _newest_ring(storage: Storage, backup_key: bytes, headers: list[tuple[NumberedName, Header]]) -> KeyRing:
    for name, header in headers:
        keys = EpochKeys.of_backup_key(backup_key, header.repository, header.epoch)
        ring = KeyRing(header.repository, {header.epoch: keys})
        try:
            return ring.with_older(_open(storage, name, header, ring).older_secrets)
        except Damaged:
            continue
    raise WrongKey("the key opens none of the commits")


def _open(storage: Storage, name: NumberedName, header: Header, ring: KeyRing) -> Commit:
    with blaming(object_name(Kind.COMMIT, name.file_name)):
        return open_commit(storage.read(Kind.COMMIT, name.file_name), header, name, ring)
