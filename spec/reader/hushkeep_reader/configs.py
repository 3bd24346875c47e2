"""§12 Configs: how to get the backup key, and which config holds."""

from collections import Counter
from dataclasses import dataclass

from .encoding import Cursor, encode_byte_string, read_record
from .errors import Damaged, Malformed, NewerVersion, NoConfigLeft, NoRepository, TooNew, blaming
from .keys import EpochKeys, KeyRing, Kind, digest, read_older_secrets
from .sealing import Header, open_single, read_header, read_unproven_header
from .storage import NumberedName, Storage, object_name

READER_VERSION = 1
RECOVERY_KEY_PROTECTOR = 1
MAX_PROTECTORS = 32


@dataclass(frozen=True)
class Protector:
    """A way to get the backup key (§12.2)."""

    id: bytes
    kind: int
    data: bytes


@dataclass(frozen=True)
class UnprovenConfig:
    """A config of which only the clear part was read: anyone may have written it."""

    name: NumberedName
    data: bytes
    header: Header
    key_check: bytes
    protectors: list[Protector]

    @property
    def object_name(self) -> str:
        return object_name(Kind.CONFIG, self.name.file_name)

    def keys(self, backup_key: bytes) -> EpochKeys:
        """Those that follow from a backup key, if it is that of this config."""
        return EpochKeys.of_backup_key(backup_key, self.header.repository, self.header.epoch)


@dataclass(frozen=True)
class Config:
    """A config that has opened."""

    number: int
    digest: bytes
    ring: KeyRing

    def is_newest(self, newest_named: tuple[int, bytes] | None) -> bool:
        """Whether no tip names a newer config, or another of the same number (§12.4, 6)."""
        if newest_named is None:
            return True
        number, named_digest = newest_named
        return self.number > number or (self.number, self.digest) == (number, named_digest)


def read_unproven_configs(
    storage: Storage, damage: list[Damaged], newer: list[NewerVersion]
) -> list[UnprovenConfig]:
    """All configs, in the order in which they are tried (§12.4, 1 and 2).

    One that a newer program wrote, as it says of itself, matters only if no other holds: that is not proven.
    """
    names = storage.numbered(Kind.CONFIG)
    if not names:
        raise NoRepository("there is no config, so there is no repository")
    configs: list[UnprovenConfig] = []
    for name in names:
        try:
            configs.append(_read_unproven_config(storage, name))
        except Damaged as damaged:
            damage.append(damaged)
        except NewerVersion as too_new:
            newer.append(too_new)
    if not configs:
        raise newer[0] if newer else NoConfigLeft("none of the configs can be read", damage)
    repository = _choose_repository(storage, configs)
    return sorted(configs, key=lambda config: config.header.repository != repository)


def matching_configs(configs: list[UnprovenConfig], backup_key: bytes) -> list[UnprovenConfig]:
    """Those that this key is for (§12.4, 4)."""
    return [config for config in configs if config.keys(backup_key).confirms(config.key_check)]


def open_config(unproven: UnprovenConfig, keys: EpochKeys) -> Config:
    """§12.3."""
    header = unproven.header
    ring = KeyRing(header.repository, {header.epoch: keys})
    with blaming(unproven.object_name):
        body = open_single(unproven.data, header, ring)
        record = read_record(body, last_known=3)
        number = record.integer(1)
        if number == 0 or number != unproven.name.number:
            raise Malformed("its number is 0, or not the one in its name")
        if _count_labels(record.cursor(2)) != len(unproven.protectors):
            raise Malformed("it does not have one label for each protector")
        older = read_older_secrets(record.raw(3), sealed_under=header.epoch)
    config_digest = digest("hushkeep/1 config", encode_byte_string(header.clear) + encode_byte_string(body))
    return Config(number, config_digest, ring.with_older(older))


def _read_unproven_config(storage: Storage, name: NumberedName) -> UnprovenConfig:
    """§12.2."""
    data = storage.read(Kind.CONFIG, name.file_name)
    with blaming(object_name(Kind.CONFIG, name.file_name)):
        header = read_header(data, Kind.CONFIG)
        record = read_record(header.clear, last_known=4, optional={4})
        if 4 in record.fields:
            record.integer(4)  # The version for writers: this program writes nothing.
        reader_version = record.integer(1)
        if reader_version > READER_VERSION:
            raise TooNew(f"the repository asks for a reader of version {reader_version}")
        protectors = [_read_protector(cursor.byte_string()) for cursor in record.cursor(3).items()]
        if len(protectors) > MAX_PROTECTORS:
            raise Malformed("it has too many protectors")
        if len({protector.id for protector in protectors}) != len(protectors):
            raise Malformed("two of its protectors have one id")
        return UnprovenConfig(name, data, header, record.fixed(2, 16), protectors)


def _read_protector(data: bytes) -> Protector:
    """§12.2."""
    record = read_record(data, last_known=3)
    protector = Protector(record.fixed(1, 4), record.integer(2), record.raw(3))
    if protector.kind == RECOVERY_KEY_PROTECTOR and protector.data:
        raise Malformed("a recovery key has data, where none belongs")
    return protector


def _count_labels(cursor: Cursor) -> int:
    """What protectors are called and when they were added (§12.3): only their number matters here."""
    count = 0
    while cursor.left:
        cursor.text()
        cursor.time()
        count += 1
    return count


def _choose_repository(storage: Storage, configs: list[UnprovenConfig]) -> bytes:
    """The repository id that most configs have (§12.4, 2).

    Between equals the newest commit decides, then the newest config.
    """
    counts = Counter(config.header.repository for config in configs)
    most = [repository for repository, count in counts.items() if count == max(counts.values())]
    if len(most) == 1:
        return most[0]
    for name in storage.numbered(Kind.COMMIT):
        header = read_unproven_header(storage, Kind.COMMIT, name)
        if header and header.repository in most:
            return header.repository
    return next(config.header.repository for config in configs if config.header.repository in most)
