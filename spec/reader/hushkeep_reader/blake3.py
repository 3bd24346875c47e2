"""BLAKE3 in plain Python: hash, keyed hash and key derivation, with results of 32 bytes.

From the specification "BLAKE3: one function, fast everywhere" (2020), whose sections are cited as B1, B2 and so on.

To Python, adding two integers of ten thousand digits costs far less than ten thousand additions. So all that can be
computed side by side is: word number i of many blocks is one large integer with a *lane* of 64 bits for each block. A
word takes the lower 32 bits of its lane; the upper ones take what additions and rotations push out, and are masked away
after each. One block alone is the case of one lane.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

DIGEST_LENGTH = 32
BLOCK_LENGTH = 64
WORDS_PER_BLOCK = 16
CHUNK_LENGTH = 1024

# B2.1, table 1, and B2.2, tables 2 and 3.
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
ROUNDS = 7

CHUNK_START = 1 << 0
CHUNK_END = 1 << 1
PARENT = 1 << 2
ROOT = 1 << 3
KEYED_HASH = 1 << 4
DERIVE_KEY_CONTEXT = 1 << 5
DERIVE_KEY_MATERIAL = 1 << 6

# More lanes than this no longer fit into a processor's cache, and gain nothing. A power of two, so that as many chunks
# are one whole subtree of the tree of B2.1.
MAX_LANES = 1024

Words = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Mode:
    """One of the three functions of B2.3, with its key."""

    key: Words
    flags: int

    def digest(self, message: bytes) -> bytes:
        return self.digests([message])[0]

    def digests(self, messages: Sequence[bytes]) -> list[bytes]:
        """Hashes independent messages side by side."""
        roots = self._roots([_Input(message) for message in messages])
        return [struct.pack("<8I", *root) for root in roots]

    def _roots(self, inputs: Sequence["_Input"]) -> list[Words]:
        chunks = [chunk for item in inputs for chunk in item.chunks()]
        values = iter(self._chunk_values(chunks))
        trees = [[next(values) for _ in range(item.chunk_count)] for item in inputs]
        return self._reduce(trees, [ROOT if item.whole else 0 for item in inputs])

    def _chunk_values(self, chunks: Sequence["_Chunk"]) -> list[Words]:
        """The chaining values of chunks (B2.4); those with as many blocks go side by side."""
        values: list[Words] = [()] * len(chunks)
        order = sorted(range(len(chunks)), key=lambda at: chunks[at].block_count)
        for _, same in groupby(order, key=lambda at: chunks[at].block_count):
            for places in _batches(list(same)):
                for place, value in zip(places, self._run([chunks[at] for at in places]), strict=True):
                    values[place] = value
        return values

    def _run(self, chunks: Sequence["_Chunk"]) -> list[Words]:
        """The chaining values of at most `MAX_LANES` chunks of one number of blocks."""
        lanes = _Lanes(len(chunks))
        block_count = chunks[0].block_count
        words_per_chunk = block_count * WORDS_PER_BLOCK
        padded = b"".join(chunk.data.ljust(block_count * BLOCK_LENGTH, b"\0") for chunk in chunks)
        message = struct.unpack(f"<{len(chunks) * words_per_chunk}I", padded)
        counter = lanes.pack([chunk.counter & 0xFFFFFFFF for chunk in chunks])
        counter_high = lanes.pack([chunk.counter >> 32 for chunk in chunks])
        chaining = lanes.spread(self.key)
        for block in range(block_count):
            first = block * WORDS_PER_BLOCK
            words = [lanes.pack(message[first + at :: words_per_chunk]) for at in range(WORDS_PER_BLOCK)]
            flags = lanes.one * (self.flags | (CHUNK_START if block == 0 else 0))
            block_length = lanes.one * BLOCK_LENGTH
            if block == block_count - 1:
                flags |= lanes.pack([CHUNK_END | chunk.flags for chunk in chunks])
                block_length = lanes.pack([len(chunk.data) - block * BLOCK_LENGTH for chunk in chunks])
            chaining = _compress(chaining, words, (counter, counter_high, block_length, flags), lanes.mask)
        return lanes.unpack(chaining)

    def _reduce(self, trees: list[list[Words]], root_flags: Sequence[int]) -> list[Words]:
        """Joins the chaining values of each tree to one (B2.1).

        Joining neighbours, and taking an odd last one up as it is, gives the tree of B2.1: on the left of each node is
        the largest whole subtree.
        """
        while any(len(tree) > 1 for tree in trees):
            pairs: list[tuple[Words, int]] = []
            for tree, root_flag in zip(trees, root_flags, strict=True):
                last = root_flag if len(tree) == 2 else 0
                pairs += ((tree[at] + tree[at + 1], last) for at in range(0, len(tree) - 1, 2))
            parents = (parent for batch in _batches(pairs) for parent in self._parents(batch))
            trees = [
                [next(parents) for _ in range(len(tree) // 2)] + (tree[-1:] if len(tree) % 2 else []) for tree in trees
            ]
        return [tree[0] for tree in trees]

    def _parents(self, pairs: Sequence[tuple[Words, int]]) -> list[Words]:
        """The chaining values of parent nodes (B2.5)."""
        lanes = _Lanes(len(pairs))
        words = [lanes.pack([pair[at] for pair, _ in pairs]) for at in range(WORDS_PER_BLOCK)]
        flags = lanes.pack([self.flags | PARENT | root_flag for _, root_flag in pairs])
        tail = (0, 0, lanes.one * BLOCK_LENGTH, flags)
        return lanes.unpack(_compress(lanes.spread(self.key), words, tail, lanes.mask))


PLAIN = Mode(IV, 0)


def keyed(key: bytes) -> Mode:
    """The keyed hash, for a key of 32 bytes."""
    return Mode(struct.unpack("<8I", key), KEYED_HASH)


def derive_key(context: str) -> Mode:
    """The key derivation mode: what it hashes is the key material."""
    context_key = Mode(IV, DERIVE_KEY_CONTEXT).digest(context.encode())
    return Mode(struct.unpack("<8I", context_key), DERIVE_KEY_MATERIAL)


class Hasher:
    """The plain hash of a message that comes in pieces, in little memory."""

    _PIECE_LENGTH = MAX_LANES * CHUNK_LENGTH

    def __init__(self) -> None:
        self._pending = bytearray()
        self._subtrees: list[Words] = []

    def update(self, data: bytes) -> None:
        self._pending += data
        # The last piece stays: only the end of the message shows whether it is the root.
        while len(self._pending) > self._PIECE_LENGTH:
            self._subtrees.append(self._piece(bytes(self._pending[: self._PIECE_LENGTH]), whole=False))
            del self._pending[: self._PIECE_LENGTH]

    def digest(self) -> bytes:
        last = self._piece(bytes(self._pending), whole=not self._subtrees)
        root = PLAIN._reduce([[*self._subtrees, last]], [ROOT])[0]
        return struct.pack("<8I", *root)

    def _piece(self, data: bytes, whole: bool) -> Words:
        return PLAIN._roots([_Input(data, len(self._subtrees) * MAX_LANES, whole)])[0]


@dataclass(frozen=True)
class _Chunk:
    data: bytes
    counter: int
    flags: int

    @property
    def block_count(self) -> int:
        return max(1, -(-len(self.data) // BLOCK_LENGTH))


@dataclass(frozen=True)
class _Input:
    """A whole message, or an aligned part of one that begins with the chunk `counter`."""

    data: bytes
    counter: int = 0
    whole: bool = True

    @property
    def chunk_count(self) -> int:
        return max(1, -(-len(self.data) // CHUNK_LENGTH))

    def chunks(self) -> Iterator[_Chunk]:
        flags = ROOT if self.whole and self.chunk_count == 1 else 0
        for number in range(self.chunk_count):
            data = self.data[number * CHUNK_LENGTH : (number + 1) * CHUNK_LENGTH]
            yield _Chunk(data, self.counter + number, flags)


class _Lanes:
    """How `count` words of 32 bits stand in one integer."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.one = int.from_bytes(b"\1\0\0\0\0\0\0\0" * count, "little")
        self.mask = self.one * 0xFFFFFFFF

    def pack(self, words: Iterable[int]) -> int:
        return int.from_bytes(struct.pack(f"<{self.count}Q", *words), "little")

    def spread(self, words: Words) -> Words:
        """The same words in every lane."""
        return tuple(self.one * word for word in words)

    def unpack(self, words: Words) -> list[Words]:
        """The words of each lane."""
        columns = [struct.unpack(f"<{self.count}Q", word.to_bytes(self.count * 8, "little")) for word in words]
        return list(zip(*columns, strict=True))


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), MAX_LANES):
        yield items[at : at + MAX_LANES]


def _compress(chaining: Words, words: Sequence[int], tail: Words, mask: int) -> Words:
    """The first eight words of the compression function (B2.2), in all lanes.

    `tail` is what the state ends with: the counter's lower and upper word, the length of the block, the flags.
    """
    lane_one = mask // 0xFFFFFFFF
    state = [*chaining, *(lane_one * word for word in IV[:4]), *tail]
    message = list(words)
    for _ in range(ROUNDS):
        for column in range(4):
            _mix(state, (column, column + 4, column + 8, column + 12), message[2 * column :], mask)
        for row in range(4):
            diagonal = (row, 4 + (row + 1) % 4, 8 + (row + 2) % 4, 12 + (row + 3) % 4)
            _mix(state, diagonal, message[8 + 2 * row :], mask)
        message = [message[at] for at in PERMUTATION]
    return tuple(state[at] ^ state[at + 8] for at in range(8))


def _mix(state: list[int], places: tuple[int, int, int, int], message: Sequence[int], mask: int) -> None:
    """The quarter-round G of B2.2."""
    at_a, at_b, at_c, at_d = places
    a, b, c, d = state[at_a], state[at_b], state[at_c], state[at_d]
    a = (a + b + message[0]) & mask
    d ^= a
    d = (d >> 16 | d << 16) & mask
    c = (c + d) & mask
    b ^= c
    b = (b >> 12 | b << 20) & mask
    a = (a + b + message[1]) & mask
    d ^= a
    d = (d >> 8 | d << 24) & mask
    c = (c + d) & mask
    b ^= c
    b = (b >> 7 | b << 25) & mask
    state[at_a], state[at_b], state[at_c], state[at_d] = a, b, c, d
