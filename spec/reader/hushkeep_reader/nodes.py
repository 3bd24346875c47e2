"""§10.1 Chains of nodes, and §10.3, what their contents are called."""

from collections.abc import Iterator
from dataclasses import dataclass

from .contents import ContentRange, Contents
from .encoding import U32, Cursor, Record, read_record
from .errors import Malformed, blaming

MAX_DEPTH = 128
CHAIN_FIELDS = range(1, 5)


@dataclass(frozen=True)
class NodeName:
    """§10."""

    list_id: bytes
    position: int


def read_node_name(cursor: Cursor) -> NodeName:
    return NodeName(cursor.take(16), cursor.varint(below=U32))


@dataclass(frozen=True)
class Node:
    """The record of a node, its length in bytes, and the object that it was found in."""

    record: Record
    length: int
    object_name: str


def read_chain(contents: Contents, name: NodeName | None, last_known: int) -> Iterator[Node]:
    """A node, its base, the base of that and so on down to the full one (§10.1)."""
    expected_depth = None
    while name:
        content = contents.find(name.list_id, name.position)
        with blaming(content.object_name):
            record = read_record(content.data, last_known, optional=CHAIN_FIELDS)
            depth = _depth(record)
            if expected_depth not in (None, depth):
                raise Malformed("a base's depth is not one less")
            name = _base(record) if depth else None
        expected_depth = depth - 1
        yield Node(record, len(content.data), content.object_name)


def _base(record: Record) -> NodeName:
    cursor = record.cursor(1)
    name = read_node_name(cursor)
    cursor.end()
    return name


def _depth(record: Record) -> int:
    """§10.1: without field 1 a node is full."""
    if 1 not in record:
        return 0
    if not all(field in record for field in CHAIN_FIELDS):
        raise Malformed("a delta lacks a field of its chain")
    for only_checked in (3, 4):
        record.integer(only_checked)
    depth = record.integer(2, below=MAX_DEPTH + 1)
    if depth == 0:
        raise Malformed("a delta has no depth")
    return depth


class Anchors:
    """The anchors of a node, to which its references refer (§10.3)."""

    def __init__(self, lists: list[bytes], cursor: Cursor, contents: Contents) -> None:
        contents.refuse_unknown_lists(lists)
        self._anchors: list[tuple[bytes, int]] = []
        for item in cursor.items():
            list_number, position = item.varint(below=U32), item.varint(below=U32)
            if list_number >= len(lists):
                raise Malformed("an anchor is in a list that its node does not have")
            self._anchors.append((lists[list_number], position))

    def read_reference(self, cursor: Cursor) -> ContentRange:
        """§10.3, but for whether the contents are there: `Contents.refuse_gone` tells when they are needed."""
        number, offset, count = (cursor.varint(below=U32) for _ in range(3))
        if number >= len(self._anchors):
            raise Malformed("a reference is to an anchor that its node does not have")
        list_id, position = self._anchors[number]
        reference = ContentRange(list_id, position + offset, count)
        if count == 0 or reference.end >= U32:
            raise Malformed("a reference is empty or out of range")
        return reference

    def read_single(self, cursor: Cursor) -> ContentRange:
        """A reference to a node or block, which is always one content."""
        reference = self.read_reference(cursor)
        if reference.count != 1:
            raise Malformed("a block or a page map is more than one content")
        return reference
