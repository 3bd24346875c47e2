"""Makes repositories that no writer makes, for tests: objects are sealed here with whatever a test wants in them.

Nothing is padded, and nothing is compressed. A reader takes that.
"""

from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from hushkeep_reader.encoding import encode_byte_string, encode_u32, encode_u64, encode_varint
from hushkeep_reader.keys import EpochKeys, Kind, derive, digest
from hushkeep_reader.name_lists import name_list_digest
from hushkeep_reader.packs import Pack
from hushkeep_reader.passphrase import normalize
from hushkeep_reader.sealing import TRAILER_NUMBER, Header
from hushkeep_reader.storage import NumberedName, read_numbered_name

REPOSITORY = b"\x4e" * 16
NOTHING = bytes(16)
FOLDER = b"\1\xed\3\0\0\0\0"

Rows = dict[bytes, bytes]
Part = tuple[bytes, int, int]
"""Contents of a list: its id, the first position, and how many."""


def encode_record(fields: dict[int, bytes]) -> bytes:
    """A record of critical fields."""
    return b"".join(
        encode_varint(2 * number + 1) + encode_byte_string(value) for number, value in sorted(fields.items())
    )


def numbered(file_name: str) -> NumberedName:
    """A name that must be one of a config or commit."""
    name = read_numbered_name(file_name)
    assert name is not None, file_name
    return name


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
    tables: list[Rows]


@dataclass(frozen=True)
class MadePack:
    """A pack that was made, and its row behind the status."""

    pack: Pack
    lasting: bytes

    @property
    def told(self) -> bytes:
        """What an index object has of it (§9.1)."""
        numbers = encode_varint(self.pack.epoch) + self.pack.salt + encode_varint(self.pack.length)
        return self.pack.id + numbers + encode_byte_string(self.pack.encoded_table)

    def row(self, status: int) -> Rows:
        return {self.pack.id: bytes([status]) + self.lasting + (b"\1" if status % 2 else b"")}


@dataclass
class Maker:
    """Makes the objects of one repository."""

    place: Path
    backup_keys: list[bytes]
    repository: bytes = REPOSITORY
    lists: dict[bytes, list[bytes]] = field(default_factory=dict)
    config_digests: dict[int, bytes] = field(default_factory=dict)

    def keys(self, epoch: int) -> EpochKeys:
        return EpochKeys.of_backup_key(self.backup_keys[epoch], self.repository, epoch)

    def store(self, kind: Kind, file_name: str, data: bytes) -> Path:
        path = self.place / kind.folder / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def config(
        self,
        number: int,
        epoch: int = 0,
        suffix: str = "a",
        protectors: tuple[bytes, ...] = (),
        secrets: bytes | None = None,
    ) -> Path:
        """A config with a recovery key, or with these protectors (§12), and with the secrets of all older epochs."""
        recovery_key = encode_record({1: b"\0\0\0\0", 2: b"\1", 3: b""})
        encoded = [encode_byte_string(protector) for protector in protectors or (recovery_key,)]
        clear = encode_record({1: b"\1", 2: self.keys(epoch).key_check(), 3: b"".join(encoded)})
        secrets = self.older_secrets(epoch) if secrets is None else secrets
        body = encode_record({1: encode_varint(number), 2: bytes(3 * len(encoded)), 3: secrets})
        self.config_digests[number] = digest("hushkeep/1 config", encode_byte_string(clear) + encode_byte_string(body))
        data = seal(Kind.CONFIG, self.keys(epoch), epoch, [body], clear=clear)
        return self.store(Kind.CONFIG, f"{number:010}-{suffix}", data)

    def passphrase(self, protector_id: bytes, passphrase: str, backup_key: bytes, epoch: int = 0) -> bytes:
        """A protector for a config of this epoch, at the least cost that a reader takes (§5)."""
        memory_kib, passes, lanes, salt = 19_456, 2, 1, protector_id * 4
        kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib)
        root = kdf.derive(normalize(passphrase))
        numbers = b"".join(map(encode_u32, (epoch, memory_kib, passes, lanes)))
        associated = b"hushkeep/1 passphrase wrap" + self.repository + protector_id + numbers + salt + encode_u64(0)
        info = b"hushkeep/1 passphrase wrap key" + protector_id + encode_u32(epoch)
        cipher = ChaCha20Poly1305(derive(root, self.repository, info))
        commitment = derive(root, self.repository, b"hushkeep/1 passphrase commitment")
        sealed_key = cipher.encrypt(bytes(12), backup_key, associated)
        costs = {1: encode_varint(memory_kib), 2: encode_varint(passes), 3: encode_varint(lanes)}
        wrap = encode_record(costs | {4: salt, 5: commitment, 6: sealed_key})
        return encode_record({1: protector_id, 2: b"\2", 3: wrap})

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
        later_rows: Rows | None = None,
        later: dict[int, bytes] | None = None,
        secrets: bytes | None = None,
    ) -> Made:
        """A commit with these rows beside those of its parents, and critical fields of later versions (§11).

        Time, action and growth say nothing.
        """
        inherited = [{key: row for parent in parents for key, row in parent.tables[at].items()} for at in range(5)]
        ancestors = {parent.id: b"\0" + encode_byte_string(parent.file_name.encode()) for parent in parents}
        changed = (snapshots or {}, packs or {}, indexes or {}, ancestors | (commits or {}), later_rows or {})
        tables = [old | new for old, new in zip(inherited, changed, strict=True)]
        written = changed if depth else tables
        number = int(file_name.partition("-")[0])
        secrets = self.older_secrets(epoch) if secrets is None else secrets
        fields = {
            1: encode_varint(number),
            2: b"".join(parent.id + encode_byte_string(parent.file_name.encode()) for parent in parents),
            3: b"\0\0",
            **{4: b"\1", 5: encode_varint(config), 6: secrets, 7: bytes([depth]), 8: b"\0", 9: b"\0"},
            **{10 + at: encode_table(written[at]) for at in range(4)},
            14: self.config_digests.get(config, NOTHING),
            15: file_name.encode(),
            **(later or {}),
        }
        body = encode_record(fields)
        if written[4]:
            body += encode_varint(2 * 16) + encode_byte_string(encode_table(written[4]))
        self.store(Kind.COMMIT, file_name, seal(Kind.COMMIT, self.keys(epoch), epoch, [b"\0" + body]))
        return Made(digest("hushkeep/1 commit id", body), file_name, depth, tables)

    def pack(self, pack_id: bytes, *segments: list[Part], tags: dict[int, int] | None = None) -> MadePack:
        """A pack of contents of `self.lists` (§8), with other tags for some segments.

        A class is for writers only: the others are all of class 0.
        """
        list_ids = sorted({list_id for parts in segments for list_id, _, _ in parts})
        name_lists = [self.name_list(list_id) for list_id in list_ids]
        name_parts = [[(list_id, 0, len(self.lists[list_id]))] for list_id in list_ids]
        plaintexts = [
            b"".join(b"".join(self.lists[list_id][first : first + count]) for list_id, first, count in parts)
            for parts in segments
        ] + name_lists
        all_tags = dict(enumerate(bytes(len(segments)) + b"\2" * len(list_ids))) | (tags or {})
        table = encode_varint(len(list_ids))
        for list_id, names in zip(list_ids, name_lists, strict=True):
            table += list_id + b"\0" + name_list_digest(0, names)
        table += encode_varint(len(plaintexts))
        for number, (parts, plaintext) in enumerate(zip([*segments, *name_parts], plaintexts, strict=True)):
            table += bytes([all_tags[number]]) + encode_varint(len(plaintext) + 16) + encode_varint(len(plaintext))
            table += encode_varint(len(parts))
            for list_id, first, count in parts:
                table += b"".join(map(encode_varint, (list_ids.index(list_id), first, count)))
        data = seal(Kind.PACK, self.keys(0), 0, plaintexts, table)
        self.store(Kind.PACK, pack_id.hex(), data)
        pack = Pack(pack_id, 0, data[32:64], len(data), table)
        own = name_list_digest(0, self.name_list(pack_id)) if pack_id in list_ids else NOTHING
        return MadePack(pack, encode_varint(len(data)) + pack.digest() + own)

    def name_list(self, list_id: bytes) -> bytes:
        """§8.4."""
        contents = self.lists[list_id]
        runs = [(length, len(list(group))) for length, group in groupby(map(len, contents))]
        lengths = b"".join(encode_varint(length) + encode_varint(repeat) for length, repeat in runs)
        return encode_varint(len(contents)) + lengths + b"".join(self.keys(0).content_names(contents))

    def index(self, index_id: bytes, *packs: MadePack) -> Rows:
        """An index object of these packs, and its row (§9)."""
        body = b"".join(made.told for made in packs)
        data = seal(Kind.INDEX, self.keys(0), 0, [b"\0" + body])
        self.store(Kind.INDEX, index_id.hex(), data)
        return {index_id: b"\0\0" + encode_varint(len(data)) + digest("hushkeep/1 index", body)}

    def file_list(self, list_id: bytes, files: dict[str, bytes], others: dict[str, bytes] | None = None) -> Rows:
        """Gives a list the contents of files, their block and their node; and the row of a snapshot of them (§10).

        `others` are entries of which nothing is in the list. One of the root is there unless it is among them.
        """
        self.lists[list_id] = [data for _, data in sorted(files.items())]
        entries = {"": FOLDER} | (others or {})
        for position, (path, data) in enumerate(sorted(files.items())):
            entries[path] = file_entry(position, len(data))
        block = b"".join(b"\0" + encode_byte_string(path.encode()) + entry for path, entry in sorted(entries.items()))
        blocks = b"\0" + encode_varint(len(files)) + b"\1"
        node = encode_record({5: list_id, 6: b"\0\0", 7: blocks, 8: encode_varint(len(block))})
        self.lists[list_id] += [block, node]
        node_name = list_id + encode_varint(len(files) + 1)
        source = encode_record({1: b"s", 2: b"/s", 3: b"\0", 4: b"\0", 5: node_name})
        return snapshot_row(1, encode_byte_string(source))

    def older_secrets(self, epoch: int) -> bytes:
        return b"".join(encode_varint(older) + self.keys(older).secret for older in range(epoch))


def file_entry(position: int, length: int) -> bytes:
    """An entry of a file of one chunk, at a position of the only anchor (§10.4)."""
    return b"\2\xa4\3\0\0\0\0" + encode_varint(length) + b"\1\0" + encode_varint(position) + b"\1"


def snapshot_row(number: int, sources: bytes = b"") -> Rows:
    """A snapshot (§11.3)."""
    record = encode_record({1: encode_varint(number), 2: b"\0\0", 3: bytes(16), 4: b"x", 5: sources, 6: b"\0"})
    return {digest("hushkeep/1 snapshot id", record): b"\0" + record}
