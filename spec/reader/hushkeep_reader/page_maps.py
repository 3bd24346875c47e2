"""§10.5 Page maps."""

from dataclasses import dataclass

from .contents import ContentRange, Contents
from .encoding import U32, Cursor, Record
from .errors import Malformed
from .file_lists import PAGE_SIZES
from .nodes import NodeName, read_chain


@dataclass(frozen=True)
class Page:
    """Which content is a page."""

    list_id: bytes
    position: int


def read_page_map(contents: Contents, name: NodeName, page_size: int, length: int) -> list[Page]:
    """The pages of a database, for a file whose entry has this page size and length."""
    newest_first = list(read_chain(contents, name, last_known=8))
    if newest_first[0].integer(6) != length:
        raise Malformed("its page map is for a file of another length")
    pages: list[Page] = []
    for record in reversed(newest_first):
        pages = _apply(contents, record, page_size, pages)
    return pages


def _apply(contents: Contents, record: Record, page_size: int, base: list[Page]) -> list[Page]:
    """The map of one node, on top of that of its base."""
    if record.integer(5) != page_size or page_size not in PAGE_SIZES:
        raise Malformed("its page map is for another page size")
    page_count = -(-record.integer(6) // page_size)
    if page_count >= U32:
        raise Malformed("its page map is for too many pages")
    pages = base[:page_count]
    at = 0
    for gap, run in _read_runs(contents, record):
        at += gap
        if at > len(pages) or at + run.count > page_count:
            raise Malformed("a run of its page map is beyond the end, or leaves a page without content")
        pages[at : at + run.count] = (Page(run.list_id, run.first + number) for number in range(run.count))
        at += run.count
    if len(pages) != page_count:
        raise Malformed("its page map does not have a content for every page")
    return pages


def _read_runs(contents: Contents, record: Record) -> list[tuple[int, ContentRange]]:
    """The runs of one node, each with the gap before it."""
    lists = record.ids(7)
    for list_id in lists:
        if not contents.knows_list(list_id):
            raise Malformed(f"its page map is in the list {list_id.hex()}, which is nowhere")
    ends = [0] * len(lists)
    return [_read_run(contents, cursor, lists, ends) for cursor in record.cursor(8).items()]


def _read_run(contents: Contents, cursor: Cursor, lists: list[bytes], ends: list[int]) -> tuple[int, ContentRange]:
    """One run; `ends` has for each list where its last run in this node ended."""
    gap, list_number = cursor.varint(below=U32), cursor.varint(below=U32)
    step, count = cursor.signed(), cursor.varint(below=U32)
    if list_number >= len(lists):
        raise Malformed("a run of its page map is in a list that the map does not have")
    run = ContentRange(lists[list_number], ends[list_number] + step, count)
    if run.first < 0 or count == 0 or run.last >= U32:
        raise Malformed("a run of its page map is empty or out of range")
    contents.refuse_unknown(run)
    ends[list_number] = run.first + count
    return gap, run
