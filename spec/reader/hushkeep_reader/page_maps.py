"""§10.5 Page maps. They stay runs: one of a few bytes may claim billions of pages."""

from collections.abc import Iterator
from dataclasses import dataclass

from .contents import ContentRange, Contents
from .encoding import U32, Cursor, Record
from .errors import Malformed, blaming
from .file_lists import PAGE_SIZES
from .nodes import Node, NodeName, read_chain

MAX_MAP_LENGTH = 256 << 20


@dataclass(frozen=True)
class Run:
    """Pages in a row, from the first on, whose contents are in a row, too."""

    first: int
    contents: ContentRange

    @property
    def end(self) -> int:
        return self.first + self.contents.count

    def part(self, first: int, end: int) -> "Run":
        """The pages of this run from `first` up to `end`."""
        contents = ContentRange(self.contents.list_id, self.contents.first + first - self.first, end - first)
        return Run(first, contents)


def read_page_map(contents: Contents, name: NodeName, page_size: int, length: int) -> list[Run]:
    """The pages of a database, without a gap, for a file whose entry has this page size and length."""
    newest_first = list(_bounded(read_chain(contents, name, last_known=8)))
    pages: list[Run] = []
    for node in reversed(newest_first):
        with blaming(node.object_name):
            pages = _apply(contents, node.record, page_size, pages)
    with blaming(newest_first[0].object_name):
        if newest_first[0].record.integer(6) != length:
            raise Malformed("its page map is for a file of another length")
    return pages


def _bounded(chain: Iterator[Node]) -> Iterator[Node]:
    """The nodes of a map, until they are too much to be held together."""
    length = 0
    for node in chain:
        length += node.length
        if length > MAX_MAP_LENGTH:
            with blaming(node.object_name):
                raise Malformed("its page map and the bases of that are too long together")
        yield node


def _apply(contents: Contents, record: Record, page_size: int, base: list[Run]) -> list[Run]:
    """The map of one node, on top of that of its base."""
    if record.integer(5) != page_size or page_size not in PAGE_SIZES:
        raise Malformed("its page map is for another page size")
    page_count = -(-record.integer(6) // page_size)
    if page_count >= U32:
        raise Malformed("its page map is for too many pages")
    pages = list(_lay_over(base, _read_runs(contents, record), page_count))
    if sum(run.contents.count for run in pages) != page_count:
        raise Malformed("its page map does not have a content for every page")
    return pages


def _lay_over(base: list[Run], runs: Iterator[Run], page_count: int) -> Iterator[Run]:
    """Runs, and between them and behind them what the base has there."""
    under = _Under(base, page_count)
    at = 0
    for run in runs:
        if run.end > page_count:
            raise Malformed("a run of its page map is beyond the end")
        for below in under.between(at, run.first):
            at = below.end
            yield below
        if at != run.first:
            raise Malformed("a run of its page map leaves a page without content before it")
        yield run
        at = run.end
    yield from under.between(at, page_count)


class _Under:
    """The map of a base, read once from front to back."""

    def __init__(self, base: list[Run], page_count: int) -> None:
        self._runs = iter(base)
        self._run = next(self._runs, None)
        self._page_count = page_count

    def between(self, first: int, end: int) -> Iterator[Run]:
        """What it has from page `first` up to `end`."""
        end = min(end, self._page_count)
        while self._run and first < end and self._run.first < end:
            if self._run.end > first:
                yield self._run.part(max(first, self._run.first), min(end, self._run.end))
            if self._run.end > end:
                return
            self._run = next(self._runs, None)


def _read_runs(contents: Contents, record: Record) -> Iterator[Run]:
    """The runs of one node."""
    lists = record.ids(7)
    contents.refuse_unknown_lists(lists)
    # For each list, where its last run in this node ended.
    ends = [0] * len(lists)
    page = 0
    for cursor in record.cursor(8).items():
        gap, list_number = cursor.varint(below=U32), cursor.varint(below=U32)
        part = _read_contents(cursor, lists, list_number, ends)
        ends[list_number] = part.end
        run = Run(page + gap, part)
        page = run.end
        yield run


def _read_contents(cursor: Cursor, lists: list[bytes], list_number: int, ends: list[int]) -> ContentRange:
    step, count = cursor.signed(), cursor.varint(below=U32)
    if list_number >= len(lists):
        raise Malformed("a run of its page map is in a list that the map does not have")
    part = ContentRange(lists[list_number], ends[list_number] + step, count)
    if part.first < 0 or count == 0 or part.end >= U32:
        raise Malformed("a run of its page map is empty or out of range")
    return part
