"""§8.2 Packs, and §9.1, what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .encoding import U32, Cursor, encode_byte_string, encode_varint
from .errors import Malformed, blaming
from .keys import KeyRing, Kind, digest
from .pack_tables import HEADER_LENGTH, MAX_PACK_LENGTH, TAG_LENGTH, Table, read_table, refuse_unsound
from .sealing import LENGTH_LENGTH, Header, Opener, read_header, read_trailer_length
from .storage import Storage, object_name


@dataclass(frozen=True)
class Pack:
    """What an index object has of a pack (§9.1)."""

    id: bytes
    epoch: int
    salt: bytes
    length: int
    encoded_table: bytes

    @property
    def file_name(self) -> str:
        return self.id.hex()

    @property
    def object_name(self) -> str:
        return object_name(Kind.PACK, self.file_name)

    def digest(self) -> bytes:
        """§8.3."""
        numbers = encode_varint(self.epoch) + self.salt + encode_varint(self.length)
        return digest("hushkeep/1 pack", self.id + numbers + encode_byte_string(self.encoded_table))

    def opener(self, ring: KeyRing) -> Opener:
        """Opens segments without reading the header, which is known from all this (§9.1)."""
        return Opener(Header(Kind.PACK, self.epoch, ring.repository, self.salt), ring)

    @cached_property
    def table(self) -> Table:
        """It need not be sound."""
        return read_table(self.encoded_table)

    def refuse_malformed_table(self) -> None:
        """Refuses one that does not fill its string (§9.1)."""
        _ = self.table

    def sound_table(self, introduced_lists: Mapping[bytes, bytes]) -> Table:
        """§8.3."""
        refuse_unsound(self.table, self.id, self.epoch, self.length, introduced_lists)
        return self.table


def read_pack(cursor: Cursor) -> Pack:
    """One pack out of the body of an index object (§9.1)."""
    return Pack(
        id=cursor.take(16),
        epoch=cursor.varint(below=U32),
        salt=cursor.take(32),
        length=cursor.varint(),
        encoded_table=cursor.byte_string(),
    )


def read_pack_itself(storage: Storage, pack_id: bytes, ring: KeyRing, length: int | None = None) -> Pack:
    """The same from the pack's own header and trailer (§9.1). Without a row, it is as long as the storage says."""
    file_name = pack_id.hex()
    with blaming(object_name(Kind.PACK, file_name)):
        header = read_header(storage.read_range(Kind.PACK, file_name, 0, HEADER_LENGTH), Kind.PACK)
        length = storage.length(Kind.PACK, file_name) if length is None else length
        if length >= MAX_PACK_LENGTH:
            raise Malformed("it is too long")
        end = length - LENGTH_LENGTH
        if end < HEADER_LENGTH:
            raise Malformed("it is cut short")
        trailer_length = read_trailer_length(
            storage.read_range(Kind.PACK, file_name, end, LENGTH_LENGTH), available=end - HEADER_LENGTH
        )
        sealed_trailer = storage.read_range(Kind.PACK, file_name, end - trailer_length, trailer_length)
        padding_length, encoded_table = Opener(header, ring).open_trailer(sealed_trailer)
        pack = Pack(pack_id, header.epoch, header.salt, length, encoded_table)
        if pack.table.end + padding_length + TAG_LENGTH + trailer_length != end:
            raise Malformed("its segments and its padding do not fill it")
        return pack
