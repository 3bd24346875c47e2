"""§3 Keys."""

import hmac
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from . import blake3
from .encoding import U32, Cursor, encode_u32
from .errors import Malformed

KEY_LENGTH = 32
NAME_LENGTH = 16


class Kind(IntEnum):
    """The kinds of objects (§2.2)."""

    CONFIG = 1
    COMMIT = 2
    INDEX = 3
    PACK = 4

    @property
    def folder(self) -> str:
        return {Kind.CONFIG: "config", Kind.COMMIT: "commits", Kind.INDEX: "index", Kind.PACK: "packs"}[self]

    @property
    def label(self) -> bytes:
        return b"object " + self.name.lower().encode()


def derive(material: bytes, salt: bytes, info: bytes, length: int = KEY_LENGTH) -> bytes:
    """HKDF with SHA-256, extract and expand (§3)."""
    return HKDF(SHA256(), length, salt, info).derive(material)


def digest(context: str, data: bytes) -> bytes:
    """The first 16 bytes of BLAKE3 in key derivation mode: what digests and ids are (§8.3, §11.1, §11.3, §12.1)."""
    return blake3.derive_key(context).digest(data)[:16]


@dataclass(frozen=True)
class EpochKeys:
    """What follows from the secret of one epoch (§3.2)."""

    repository: bytes
    secret: bytes

    @classmethod
    def of_backup_key(cls, backup_key: bytes, repository: bytes, epoch: int) -> "EpochKeys":
        """The keys of the epoch that the backup key belongs to (§3.1)."""
        info = b"hushkeep/1 epoch secret" + encode_u32(epoch)
        return cls(repository, derive(backup_key, repository, info))

    def working_key(self, label: bytes, length: int = KEY_LENGTH) -> bytes:
        return derive(self.secret, self.repository, b"hushkeep/1 " + label, length)

    def key_check(self) -> bytes:
        return self.working_key(b"key check", 16)

    def confirms(self, key_check: bytes) -> bool:
        return hmac.compare_digest(self.key_check(), key_check)

    def object_root(self, kind: Kind) -> bytes:
        """What the keys of objects are derived from (§3.3)."""
        return self.working_key(kind.label)

    def content_names(self, contents: list[bytes]) -> list[bytes]:
        """The names of contents (§3.4)."""
        mode = blake3.keyed(self.working_key(b"content names"))
        return [full[:NAME_LENGTH] for full in mode.digests(contents)]


@dataclass(frozen=True)
class KeyRing:
    """The keys of all epochs that are known of one repository."""

    repository: bytes
    epochs: dict[int, EpochKeys]

    @property
    def newest_epoch(self) -> int:
        """The one under which the key ring was got."""
        return max(self.epochs)

    def of_epoch(self, epoch: int) -> EpochKeys:
        if epoch not in self.epochs:
            raise Malformed(f"it is sealed under the epoch {epoch}, of which no secret is known")
        return self.epochs[epoch]

    def is_of_one_epoch(self, backup_key: bytes) -> bool:
        """Whether this key is that of the newest epoch alone: each rotation draws another (§12.4, 5)."""
        return not any(
            hmac.compare_digest(EpochKeys.of_backup_key(backup_key, self.repository, epoch).secret, keys.secret)
            for epoch, keys in self.epochs.items()
            if epoch != self.newest_epoch
        )

    def with_older(self, secrets: dict[int, bytes]) -> "KeyRing":
        older = {epoch: EpochKeys(self.repository, secret) for epoch, secret in secrets.items()}
        return KeyRing(self.repository, older | self.epochs)


def read_older_secrets(data: bytes, sealed_under: int) -> dict[int, bytes]:
    """The secrets of the epochs before the one that the object is sealed under (§3.6)."""
    secrets: dict[int, bytes] = {}
    for cursor in Cursor(data).items():
        epoch = cursor.varint(below=U32)
        if epoch >= sealed_under:
            raise Malformed("it tells the secret of an epoch that is not an older one")
        if secrets and epoch <= max(secrets):
            raise Malformed("the secrets of older epochs are out of order")
        secrets[epoch] = cursor.take(KEY_LENGTH)
    return secrets
