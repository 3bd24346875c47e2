"""§7 Restoring a snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .blake3 import Hasher
from .contents import Contents
from .errors import Malformed, NotPossible, Refused, TooNew, blaming
from .file_lists import Entry, File, Folder, HardLink, Newer, Pages, SymbolicLink, read_file_list
from .nodes import NodeName
from .page_maps import read_page_map
from .paths import ROOT, SEPARATOR, show
from .snapshots import Snapshot, Source
from .target import Target


@dataclass(frozen=True)
class Failure:
    """What was not restored, or not wholly, and why."""

    path: bytes
    error: Refused | NotPossible | OSError

    def __str__(self) -> str:
        return f"{show(self.path)}: {self.error}"


def restore(contents: Contents, snapshot: Snapshot, target: Target) -> list[Failure]:
    """Restores all that is whole, and tells what is not."""
    failures: list[Failure] = []
    for source in snapshot.sources:
        with _collecting(failures, source.label):
            _restore_source(contents, source, target, failures)
    return failures


def _restore_source(contents: Contents, source: Source, target: Target, failures: list[Failure]) -> None:
    file_list = read_file_list(contents, source.file_list)
    originals: dict[bytes, File | Newer] = {}
    for path, entry, object_name in file_list.entries:
        with _collecting(failures, _place(source, path)), blaming(object_name):
            if isinstance(entry, File | Newer):
                originals[path] = entry
            elif isinstance(entry, HardLink):
                _refuse_bad_hard_link(originals.get(entry.target))
            _restore_entry(contents, source, target, _place(source, path), entry)
    # A folder's mode may forbid to write in it, and writing in it changes its time.
    for path, entry, _ in reversed(file_list.entries):
        if isinstance(entry, Folder):
            with _collecting(failures, _place(source, path)):
                target.finish_folder(_place(source, path), entry.metadata)
    if file_list.failure:
        raise file_list.failure


def _refuse_bad_hard_link(original: File | Newer | None) -> None:
    """§10.4, with the entry that it should be another name of."""
    if original is None:
        raise Malformed("it is a hard link to what is no earlier file of the list")
    if isinstance(original, Newer):
        raise TooNew(original.reason)


@contextmanager
def _collecting(failures: list[Failure], place: bytes) -> Iterator[None]:
    """What goes wrong with one entry costs that entry, and not the others."""
    try:
        yield
    except (Refused, NotPossible, OSError) as error:
        failures.append(Failure(place, error))


def _restore_entry(contents: Contents, source: Source, target: Target, place: bytes, entry: Entry | None) -> None:
    match entry:
        case Folder():
            target.make_folder(place)
        case File():
            target.write_file(place, entry.metadata, _checked_pieces(contents, entry), entry.sparse)
        case SymbolicLink():
            target.make_symbolic_link(place, entry.metadata, entry.target)
        case HardLink():
            target.make_hard_link(place, _place(source, entry.target))
        case Newer():
            raise TooNew(entry.reason)


def _place(source: Source, path: bytes) -> bytes:
    """A file's path inside a snapshot (§7.2)."""
    return source.label if path == ROOT else source.label + SEPARATOR + path


def _checked_pieces(contents: Contents, file: File) -> Iterator[bytes]:
    """The contents of a file, one after the other. It ends with an error if they are not the whole file (§7.1)."""
    if file.content_count > file.length:
        raise Malformed("the file has more contents than bytes")
    hasher = Hasher()
    length = 0
    for piece in _pieces(contents, file):
        length += len(piece)
        if file.hash is not None:
            hasher.update(piece)
        yield piece
    if length != file.length:
        raise Malformed("the file's contents do not add up to its length")
    if file.hash is not None and hasher.digest() != file.hash:
        raise Malformed("the file is not what was backed up: its hash differs")


def _pieces(contents: Contents, file: File) -> Iterator[bytes]:
    if isinstance(file.contents, Pages):
        yield from _pages(contents, file.contents, file.length)
    else:
        for part in file.contents:
            contents.refuse_gone(part)
        for part in file.contents:
            yield from contents.read_all(part)


def _pages(contents: Contents, pages: Pages, length: int) -> Iterator[bytes]:
    """The pages of a database, every one of the page size but the last (§10.5)."""
    page_map = NodeName(pages.page_map.list_id, pages.page_map.first)
    left = length
    runs = read_page_map(contents, page_map, pages.page_size, length)
    for run in runs:
        contents.refuse_gone(run.contents)
    for run in runs:
        for page in contents.read_all(run.contents):
            if len(page) != min(pages.page_size, left):
                raise Malformed("a page has another length than its page map says")
            left -= len(page)
            yield page
