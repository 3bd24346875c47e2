"""§10.2 File lists, and §10.4, their entries."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from .contents import ContentRange, Contents
from .encoding import Cursor, Time, read_record
from .errors import Damaged, Malformed, Refused, TooNew, blaming
from .nodes import Anchors, Node, NodeName, read_chain
from .paths import ROOT, components, parent, refuse_bad_path, show

KIND_MASK = 0x07
FLAG_SPARSE = 0x08
FLAG_MERGED = 0x10
FLAG_PAGES = 0x20
FLAG_HASHED = 0x40
FLAG_EXTRA = 0x80
FILE_FLAGS = FLAG_SPARSE | FLAG_MERGED | FLAG_PAGES | FLAG_HASHED

MAX_MODE = 4_095
PAGE_SIZES = [1 << exponent for exponent in range(9, 17)]
MIN_REFERENCE_LENGTH = 3
MAX_BLOCK_PATHS_LENGTH = 64 << 20
MAX_LIST_LENGTH = 256 << 20


class EntryKind(IntEnum):
    """Those above are for later versions."""

    FOLDER = 1
    FILE = 2
    SYMBOLIC_LINK = 3
    HARD_LINK = 4


@dataclass(frozen=True)
class Metadata:
    """What every entry has, as far as it is restored."""

    mode: int
    modified: Time


@dataclass(frozen=True)
class Folder:
    metadata: Metadata


@dataclass(frozen=True)
class SymbolicLink:
    metadata: Metadata
    target: bytes


@dataclass(frozen=True)
class HardLink:
    metadata: Metadata
    target: bytes


@dataclass(frozen=True)
class Pages:
    """That the contents of a file are named by a page map."""

    page_size: int
    page_map: ContentRange


@dataclass(frozen=True)
class File:
    metadata: Metadata
    length: int
    hash: bytes | None
    sparse: bool
    contents: list[ContentRange] | Pages

    @property
    def needs_hash(self) -> bool:
        """What is a single content is proven by that one's name (§10.4)."""
        return isinstance(self.contents, Pages) or self.content_count > 1

    @property
    def content_count(self) -> int:
        """Of chunks. How many pages there are, the page map says."""
        return 0 if isinstance(self.contents, Pages) else sum(part.count for part in self.contents)


@dataclass(frozen=True)
class Newer:
    """An entry that only a newer program understands. Nothing is given at its path (§10.4)."""

    reason: str


Entry = Folder | File | SymbolicLink | HardLink | Newer


class Line(NamedTuple):
    """A path, its entry (None if it is removed), and the object that it was found in."""

    path: bytes
    entry: Entry | None
    object_name: str


@dataclass(frozen=True)
class FileList:
    """What is below one source, in the order of paths: a folder before what is in it.

    With a failure they are only those that come before it.
    """

    entries: list[Line]
    failure: Refused | None


def read_file_list(contents: Contents, name: NodeName) -> FileList:
    """Merges the layers of a list (§10.2)."""
    merged: dict[bytes, Line] = {}
    failure: Refused | None = None
    room = _Room()
    layers = [_Layer(contents, node, room) for node in read_chain(contents, name, last_known=8)]
    for layer in layers:
        for line in layer.lines():
            merged.setdefault(line.path, line)
        failure = layer.failure or failure
    there = sorted((line for line in merged.values() if line.entry), key=lambda line: components(line.path))
    known = [line for line in there if all(layer.tells_of(line.path) for layer in layers)]
    return _cut_at_misplaced(FileList(known, failure))


def _cut_at_misplaced(whole: FileList) -> FileList:
    """Cuts off what would be restored through something else than a folder of the list (§7.2)."""
    earlier: dict[bytes, Entry | None] = {}
    placed: list[Line] = []
    for line in whole.entries:
        is_root = line.path == ROOT
        folder = None if is_root else earlier.get(parent(line.path))
        if is_root == bool(placed) or not (is_root or isinstance(folder, Folder)):
            misplaced = Damaged(line.object_name, f"{show(line.path)} does not lie in a folder of the list")
            return FileList(placed, misplaced)
        earlier[line.path] = line.entry
        placed.append(line)
    return FileList(placed, whole.failure)


class _Room:
    """What a reader has room for: the nodes of a list, and of each of them the longest block (§10.2)."""

    def __init__(self) -> None:
        self._left = MAX_LIST_LENGTH

    def take(self, length: int) -> None:
        if length > self._left:
            raise Malformed("the nodes of the list and their longest blocks are too long together")
        self._left -= length


class _Layer:
    """The lines of one node, as far as they are whole."""

    def __init__(self, contents: Contents, node: Node, room: _Room) -> None:
        with blaming(node.object_name):
            room.take(node.length)
            node.record.integer(8)
            self._anchors = Anchors(node.record.ids(5), node.record.cursor(6), contents)
            self._blocks = [self._anchors.read_single(cursor) for cursor in node.record.cursor(7).items()]
        self._contents = contents
        self._room = room
        self._longest_block = 0
        self._last: list[bytes] | None = None
        self.failure: Refused | None = None

    def tells_of(self, path: bytes) -> bool:
        """Whether it is known what this layer says of a path: not if that comes after damage."""
        return not self.failure or (self._last is not None and components(path) <= self._last)

    def lines(self) -> Iterator[Line]:
        try:
            for reference in self._blocks:
                yield from self._read_block(reference)
        except Refused as refused:
            self.failure = refused

    def _read_block(self, reference: ContentRange) -> Iterator[Line]:
        block = self._contents.find(reference.list_id, reference.first)
        with blaming(block.object_name):
            self._room.take(max(0, len(block.data) - self._longest_block))
            self._longest_block = max(self._longest_block, len(block.data))
            for path, entry in _read_lines(block.data, self._anchors):
                if self._last is not None and components(path) <= self._last:
                    raise Malformed("the lines of the list are out of order")
                self._last = components(path)
                yield Line(path, entry, block.object_name)


def _read_lines(block: bytes, anchors: Anchors) -> Iterator[tuple[bytes, Entry | None]]:
    """§10.2."""
    if not block:
        raise Malformed("a block of the list is empty")
    path = b""
    paths_length = 0
    for cursor in Cursor(block).items():
        shared = cursor.varint()
        if shared > len(path):
            raise Malformed("a line shares more with the one before than that has")
        path = path[:shared] + cursor.byte_string()
        refuse_bad_path(path)
        paths_length += len(path)
        if paths_length > MAX_BLOCK_PATHS_LENGTH:
            raise Malformed("the paths of a block are too long together")
        yield path, _read_entry(cursor, anchors)


def _read_entry(cursor: Cursor, anchors: Anchors) -> Entry | None:
    """§10.4; None for a line that removes."""
    tag = cursor.byte()
    if tag == 0:
        return None
    kind = tag & KIND_MASK
    if kind == 0:
        raise Malformed("a line that removes has a flag")
    if kind in list(EntryKind) and kind != EntryKind.FILE and tag & FILE_FLAGS:
        raise Malformed("an entry that is no file has a flag for files")
    reason = _read_extra(cursor.byte_string()) if tag & FLAG_EXTRA else None
    metadata = _read_metadata(cursor)
    match kind:
        case EntryKind.FOLDER:
            entry: Entry = Folder(metadata)
        case EntryKind.FILE:
            entry = _read_file(cursor, tag, metadata, anchors)
        case EntryKind.SYMBOLIC_LINK:
            entry = SymbolicLink(metadata, cursor.byte_string())
        case EntryKind.HARD_LINK:
            entry = HardLink(metadata, _read_path(cursor))
        case _:
            cursor.byte_string()
            return Newer("the entry is of an unknown kind")
    return Newer(reason) if reason else entry


def _read_extra(data: bytes) -> str | None:
    """Why an entry is not understood: for a critical field of later versions. Others are of no use here (§10.4)."""
    if not data:
        raise Malformed("an entry has an empty record of extra fields")
    try:
        read_record(data, last_known=0)
    except TooNew as too_new:
        return str(too_new)
    return None


def _read_path(cursor: Cursor) -> bytes:
    path = cursor.byte_string()
    refuse_bad_path(path)
    return path


def _read_metadata(cursor: Cursor) -> Metadata:
    """§10.4."""
    metadata = Metadata(mode=cursor.varint(below=MAX_MODE + 1), modified=cursor.time())
    # The time of the metadata tells a writer that a file is unchanged. No system lets a reader set it.
    cursor.time()
    return metadata


def _read_file(cursor: Cursor, tag: int, metadata: Metadata, anchors: Anchors) -> File:
    """§10.4."""
    length = cursor.varint()
    file_hash = cursor.take(32) if tag & FLAG_HASHED else None
    contents = _read_pages(cursor, anchors) if tag & FLAG_PAGES else _read_chunks(cursor, anchors)
    file = File(metadata, length, file_hash, bool(tag & FLAG_SPARSE), contents)
    if file.needs_hash and file.hash is None:
        raise Malformed("a file has several contents, and no hash that proves their order")
    return file


def _read_chunks(cursor: Cursor, anchors: Anchors) -> list[ContentRange]:
    count = cursor.varint()
    if count * MIN_REFERENCE_LENGTH > cursor.left:
        raise Malformed("a file has more references than the bytes that are left can hold")
    return [anchors.read_reference(cursor) for _ in range(count)]


def _read_pages(cursor: Cursor, anchors: Anchors) -> Pages:
    page_size = cursor.varint()
    if page_size not in PAGE_SIZES:
        raise Malformed("a page size is no power of two from 512 to 65,536")
    return Pages(page_size, anchors.read_single(cursor))
