"""§2 Objects, and §8.1, how the bodies of some are coded."""

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .compression import decompress
from .encoding import Cursor, encode_u32, encode_u64
from .errors import Damaged, Malformed, TooNew
from .keys import KeyRing, Kind, derive
from .storage import NumberedName, Storage

MAGIC = b"HUSHKEEP"
FORMAT_VERSION = 1
HEADER_LENGTH = 68
MAX_CLEAR_LENGTH = 65_536
MAX_EPOCH = 65_535
TAG_LENGTH = 16
LENGTH_LENGTH = 4
MIN_TRAILER_LENGTH = LENGTH_LENGTH + TAG_LENGTH
# §2.5: a reader makes room for a trailer before it is proven.
MAX_TRAILER_LENGTH = 64 << 20
TRAILER_NUMBER = (1 << 64) - 1
MAX_BODY_LENGTH = 512 << 20


@dataclass(frozen=True)
class Header:
    """What stands in the clear before the segments (§2.1)."""

    kind: Kind
    epoch: int
    repository: bytes
    salt: bytes
    clear: bytes = b""

    def encode(self) -> bytes:
        fixed = MAGIC + FORMAT_VERSION.to_bytes(2, "little") + bytes([self.kind, 0]) + encode_u32(self.epoch)
        return fixed + self.repository + self.salt + encode_u32(len(self.clear)) + self.clear

    def is_after(self, ring: KeyRing) -> bool:
        """Whether it says, unproven, that this repository was given a later key (§3.6, §11.4)."""
        return self.repository == ring.repository and self.epoch > ring.newest_epoch

    def is_before(self, ring: KeyRing) -> bool:
        """Whether it says, unproven, that it is of this repository and of an epoch before the newest (§12.4, 5)."""
        return self.repository == ring.repository and self.epoch < ring.newest_epoch


def read_header(data: bytes, kind: Kind) -> Header:
    """The header of an object from the folder of `kind` (§2.1).

    Nothing in it may be relied on before something of the same object has opened.
    """
    cursor = Cursor(data)
    if cursor.take(len(MAGIC)) != MAGIC:
        raise Malformed("it is no object of Hushkeep")
    version = int.from_bytes(cursor.take(2), "little")
    if version != FORMAT_VERSION:
        # It is not proven: of other objects than configs a config would tell that they may be newer (§14).
        error = TooNew if kind is Kind.CONFIG else Malformed
        raise error(f"it has the format version {version}, and this reader knows {FORMAT_VERSION} only")
    if cursor.take(2) != bytes([kind, 0]):
        raise Malformed("it is not of the kind of its folder")
    epoch, repository, salt = cursor.u32(), cursor.take(16), cursor.take(32)
    if epoch > MAX_EPOCH:
        raise Malformed("its epoch is higher than any can be")
    clear_length = cursor.u32()
    if clear_length > (MAX_CLEAR_LENGTH if kind is Kind.CONFIG else 0):
        raise Malformed("its clear part is too long")
    return Header(kind, epoch, repository, salt, cursor.take(clear_length))


def read_unproven_header(storage: Storage, kind: Kind, name: NumberedName) -> Header | None:
    """What a config or commit claims to be. None if it cannot be one."""
    try:
        return read_header(storage.read_range(kind, name.file_name, 0, HEADER_LENGTH + MAX_CLEAR_LENGTH), kind)
    except (Malformed, TooNew, Damaged):
        return None


def read_unproven_headers(storage: Storage, kind: Kind) -> list[Header]:
    """Those of all configs or commits that can be read."""
    headers = (read_unproven_header(storage, kind, name) for name in storage.numbered(kind))
    return [header for header in headers if header]


class Opener:
    """Opens the segments of one object (§2.3, §2.4)."""

    def __init__(self, header: Header, ring: KeyRing) -> None:
        if header.repository != ring.repository:
            raise Malformed("it belongs to another repository")
        root = ring.of_epoch(header.epoch).object_root(header.kind)
        self._header = header.encode()
        self._cipher = ChaCha20Poly1305(derive(root, header.salt, b"hushkeep/1 object" + self._header))

    def open(self, number: int, sealed: bytes) -> bytes:
        counter = encode_u64(number)
        if len(sealed) < TAG_LENGTH:
            raise Malformed("a segment is cut short")
        try:
            return self._cipher.decrypt(bytes(4) + counter, sealed, self._header + counter)
        except InvalidTag as error:
            raise Malformed("it was changed, or is not what its name says") from error

    def open_padding(self, number: int, sealed: bytes) -> None:
        """Refuses padding that is not zero (§2.5)."""
        padding = self.open(number, sealed)
        if padding.count(0) != len(padding):
            raise Malformed("its padding is not zero")

    def open_trailer(self, sealed: bytes) -> tuple[int, bytes]:
        """The length of the padding, and the table (§2.5)."""
        if len(sealed) < MIN_TRAILER_LENGTH:
            raise Malformed("its trailer is cut short")
        cursor = Cursor(self.open(TRAILER_NUMBER, sealed))
        return cursor.u32(), cursor.rest()


def read_trailer_length(end: bytes, available: int) -> int:
    """The last four bytes of an object, held against what there is between them and the header (§2.1)."""
    length = int.from_bytes(end, "little")
    if not MIN_TRAILER_LENGTH <= length <= min(available, MAX_TRAILER_LENGTH):
        raise Malformed("its trailer has an impossible length")
    return length


def open_single(data: bytes, header: Header, ring: KeyRing) -> bytes:
    """The body of an object of a single segment, every bit of which is authenticated (§2.4)."""
    cursor = Cursor(data)
    cursor.take(HEADER_LENGTH + len(header.clear))
    if cursor.left < LENGTH_LENGTH:
        raise Malformed("it is cut short")
    sealed = cursor.take(cursor.left - LENGTH_LENGTH)
    trailer_length = read_trailer_length(cursor.rest(), len(sealed))
    segments, trailer = sealed[:-trailer_length], sealed[-trailer_length:]

    opener = Opener(header, ring)
    padding_length, table = opener.open_trailer(trailer)
    if table:
        raise Malformed("it has a table where none belongs")
    body_length = len(segments) - (padding_length + TAG_LENGTH)
    if body_length < TAG_LENGTH:
        raise Malformed("its padding is longer than the object")
    opener.open_padding(1, segments[body_length:])
    return opener.open(0, segments[:body_length])


def open_object(data: bytes, kind: Kind, ring: KeyRing) -> tuple[Header, bytes]:
    """The header and the decoded body of a commit or index object."""
    header = read_header(data, kind)
    return header, decode_body(open_single(data, header, ring))


def decode_body(coded: bytes) -> bytes:
    """Undoes the body coding of commits and index objects (§8.1)."""
    cursor = Cursor(coded)
    coding = cursor.byte()
    if coding == 0:
        if cursor.left > MAX_BODY_LENGTH:
            raise Malformed("its body is too long")
        return cursor.rest()
    if coding == 1:
        length = cursor.varint(below=MAX_BODY_LENGTH + 1)
        return decompress(cursor.rest(), length)
    raise TooNew("its body has an unknown coding")
