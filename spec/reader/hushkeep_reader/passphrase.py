"""§5 Passphrase wrap."""

import hmac
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .encoding import Record, encode_u32, encode_u64, read_record
from .errors import Malformed, WrongKey
from .keys import derive

# §5.2: the least and the most that a reader accepts.
MEMORY_KIB = (19_456, 1_048_576)
PASSES = (2, 16)
LANES = (1, 4)


@dataclass(frozen=True)
class Wrap:
    """A backup key that is sealed under a passphrase (§5.4)."""

    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    commitment: bytes
    sealed_key: bytes


def read_wrap(data: bytes) -> Wrap:
    """Refuses costs outside of the limits of §5.2, before anything is done with them."""
    record = read_record(data, last_known=6)
    return Wrap(
        memory_kib=_within(record, 1, MEMORY_KIB),
        passes=_within(record, 2, PASSES),
        lanes=_within(record, 3, LANES),
        salt=record.fixed(4, 16),
        commitment=record.fixed(5, 32),
        sealed_key=record.fixed(6, 48),
    )


def open_wrap(wrap: Wrap, passphrase: str, repository: bytes, epoch: int, protector: bytes) -> bytes:
    """The backup key (§5.3). Nothing is deciphered before the commitment tells that the passphrase is right."""
    root = _root(wrap, passphrase)
    commitment = derive(root, repository, b"hushkeep/1 passphrase commitment")
    if not hmac.compare_digest(commitment, wrap.commitment):
        raise WrongKey("the passphrase does not open this repository")
    place = protector + encode_u32(epoch)
    cipher_key = derive(root, repository, b"hushkeep/1 passphrase wrap key" + place)
    numbers = b"".join(map(encode_u32, (epoch, wrap.memory_kib, wrap.passes, wrap.lanes)))
    associated = b"hushkeep/1 passphrase wrap" + repository + protector + numbers + wrap.salt + encode_u64(0)
    try:
        return ChaCha20Poly1305(cipher_key).decrypt(bytes(12), wrap.sealed_key, associated)
    except InvalidTag as error:
        raise Malformed("the sealed key was changed, or moved here from another protector or epoch") from error


def normalize(passphrase: str) -> bytes:
    """The bytes of a passphrase, which is the first line of the file that held it (§5.1)."""
    line, line_break, _ = passphrase.partition("\n")
    passphrase = (line.removesuffix("\r") if line_break else line).removeprefix("\ufeff")
    if not passphrase:
        raise WrongKey("the passphrase is empty")
    return unicodedata.normalize("NFKC", passphrase).encode()


def _root(wrap: Wrap, passphrase: str) -> bytes:
    """§5.2."""
    kdf = Argon2id(salt=wrap.salt, length=32, iterations=wrap.passes, lanes=wrap.lanes, memory_cost=wrap.memory_kib)
    return kdf.derive(normalize(passphrase))


def _within(record: Record, number: int, limits: tuple[int, int]) -> int:
    value = record.integer(number)
    least, most = limits
    if not least <= value <= most:
        raise Malformed("the cost of trying a passphrase is outside of its limits")
    return value
