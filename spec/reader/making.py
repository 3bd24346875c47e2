"""Makes repositories that no writer makes, for tests: objects are sealed here with whatever a test wants in them.

Nothing is padded, and nothing is compressed. A reader takes that.
"""

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from hushkeep_reader.encoding import encode_byte_string, encode_u32, encode_u64, encode_varint
from hushkeep_reader.keys import EpochKeys, Kind, derive, digest
from hushkeep_reader.sealing import TRAILER_NUMBER, Header

REPOSITORY = b"\x4e" * 16
NOTHING = bytes(16)

Rows = dict[bytes, bytes]


def encode_record(fields: dict[int, bytes]) -> bytes:
    """A record of critical fields."""
    return b"".join(
        encode_varint(2 * number + 1) + encode_byte_string(value) for number, value in sorted(fields.items())
    )


def encode_table(rows: Rows) -> bytes:
    return b"".join(key + encode_byte_string(row) for key, row in sorted(rows.items()))


def seal(
    kind: Kind, keys: EpochKeys, epoch: int, segments: list[bytes], table: bytes = b"", clear: bytes = b""
) -> bytes:
    """An object with padding of no bytes (§2)."""
    header = Header(kind, epoch, keys.repository, digest("salt", b"".join(segments)) * 2, clear)
    encoded = header.encode()
    cipher = ChaCha20Poly1305(derive(keys.object_root(kind), header.salt, b"hushkeep/1 object" + encoded))

    def seal_one(number: int, plaintext: bytes) -> bytes:
        return cipher.encrypt(bytes(4) + encode_u64(number), plaintext, encoded + encode_u64(number))

    trailer = seal_one(TRAILER_NUMBER, encode_u32(0) + table)
    sealed = [seal_one(number, plaintext) for number, plaintext in enumerate([*segments, b""])]
    return encoded + b"".join(sealed) + trailer + encode_u32(len(trailer))


@dataclass(frozen=True)
class Made:
    """A commit that was made: what its successors call it by, and its rows."""

    id: bytes
    file_name: str
    depth: int
    tables: tuple[Rows, Rows, Rows, Rows]


@dataclass
class Maker:
    """Makes the objects of one repository."""

    place: Path
    backup_keys: list[bytes]
    config_digests: dict[int, bytes] = field(default_factory=dict)
    epoch_start: bytes = NOTHING

    def keys(self, epoch: int) -> EpochKeys:
        return EpochKeys.of_backup_key(self.backup_keys[epoch], REPOSITORY, epoch)

    def store(self, kind: Kind, file_name: str, data: bytes) -> Path:
        path = self.place / kind.folder / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def config(self, number: int, epoch: int = 0, suffix: str = "a", protectors: tuple[bytes, ...] = ()) -> Path:
        """A config with a recovery key, or with these protectors (§12)."""
        recovery_key = encode_record({1: b"\0\0\0\0", 2: b"\1", 3: b""})
        encoded = [encode_byte_string(protector) for protector in protectors or (recovery_key,)]
        clear = encode_record({1: b"\1", 2: self.keys(epoch).key_check(), 3: b"".join(encoded)})
        body = encode_record({1: encode_varint(number), 2: bytes(3 * len(encoded)), 3: self.older_secrets(epoch)})
        self.config_digests[number] = digest("hushkeep/1 config", encode_byte_string(clear) + encode_byte_string(body))
        data = seal(Kind.CONFIG, self.keys(epoch), epoch, [body], clear=clear)
        return self.store(Kind.CONFIG, f"{number:010}-{suffix}", data)

    def commit(
        self,
        file_name: str,
        parents: list[Made],
        *,
        epoch: int = 0,
        config: int = 1,
        depth: int = 0,
        snapshots: Rows | None = None,
        packs: Rows | None = None,
        indexes: Rows | None = None,
        commits: Rows | None = None,
    ) -> Made:
        """A commit with these rows beside those of its parents (§11). Time, action and growth say nothing."""
        inherited = [{key: row for parent in parents for key, row in parent.tables[at].items()} for at in range(4)]
        ancestors = {parent.id: b"\0" + encode_byte_string(parent.file_name.encode()) for parent in parents}
        changed = (snapshots or {}, packs or {}, indexes or {}, ancestors | (commits or {}))
        tables = [old | new for old, new in zip(inherited, changed, strict=True)]
        number = int(file_name.partition("-")[0])
        fields = {
            1: encode_varint(number),
            2: b"".join(parent.id + encode_byte_string(parent.file_name.encode()) for parent in parents),
            3: b"\0\0",
            **{4: b"\1", 5: encode_varint(config), 6: self.older_secrets(epoch), 7: bytes([depth]), 8: b"\0", 9: b"\0"},
            **{10 + at: encode_table(changed[at] if depth else tables[at]) for at in range(4)},
            14: self.config_digests.get(config, NOTHING),
            15: self.epoch_start,
        }
        body = encode_record(fields)
        self.store(Kind.COMMIT, file_name, seal(Kind.COMMIT, self.keys(epoch), epoch, [b"\0" + body]))
        return Made(
            digest("hushkeep/1 commit id", body), file_name, depth, (tables[0], tables[1], tables[2], tables[3])
        )

    def older_secrets(self, epoch: int) -> bytes:
        return b"".join(encode_varint(older) + self.keys(older).secret for older in range(epoch))


def snapshot_row(number: int) -> Rows:
    """A snapshot without sources (§11.3)."""
    record = encode_record({1: encode_varint(number), 2: b"\0\0", 3: bytes(16), 4: b"x", 5: b"", 6: b"\0"})
    return {digest("hushkeep/1 snapshot id", record): b"\0" + record}
