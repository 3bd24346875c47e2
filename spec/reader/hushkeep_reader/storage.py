"""§2.2, names on the storage, and §6.3, a storage in a folder of a file system."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import Damaged, NoRepository
from .keys import Kind

# §2.4: requests that begin and end at multiples of this tell little of what lies where.
RANGE_ALIGNMENT = 65_536

FILE_NAME = re.compile(r"[a-z0-9-]{1,80}")
ID_NAME = re.compile(r"[0-9a-f]{32}")
NUMBERED_NAME = re.compile(r"([0-9]{10}|[1-9][0-9]{10,})(-.*)?")
MAX_NUMBER = 1 << 63

# §13: the greatest lengths of what is read whole.
MAX_LENGTHS = {Kind.CONFIG: 4 << 20, Kind.COMMIT: 1 << 30, Kind.INDEX: 1 << 30}


@dataclass(frozen=True, order=True)
class NumberedName:
    """The file name of a config or commit. The order is that in which they are taken, turned round (§11.4, §12.4)."""

    number: int
    file_name: str


def is_file_name(name: bytes) -> bool:
    """Whether this can be a file name of an object (§2.2)."""
    return FILE_NAME.fullmatch(name.decode("ascii", "replace")) is not None


def read_numbered_name(file_name: str) -> NumberedName | None:
    """None for a name that a reader ignores (§2.2)."""
    match = NUMBERED_NAME.fullmatch(file_name)
    if not FILE_NAME.fullmatch(file_name) or not match or int(match[1]) >= MAX_NUMBER:
        return None
    return NumberedName(int(match[1]), file_name)


class Storage:
    """The objects below a root folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        if not any((root / kind.folder).is_dir() for kind in Kind):
            raise NoRepository(f"{root}: there is no repository here; is the disk mounted?")

    def numbered(self, kind: Kind) -> list[NumberedName]:
        """The names of configs or commits, the highest number first, of equal numbers the greater file name."""
        names = (read_numbered_name(file_name) for file_name in self._list(kind))
        return sorted((name for name in names if name), reverse=True)

    def ids(self, kind: Kind) -> list[bytes]:
        """The ids of index objects or packs."""
        return [bytes.fromhex(file_name) for file_name in self._list(kind) if ID_NAME.fullmatch(file_name)]

    def read(self, kind: Kind, file_name: str) -> bytes:
        """A whole config, commit or index object, unless it is longer than one can be (§7.1)."""
        if self.length(kind, file_name) > MAX_LENGTHS[kind]:
            raise Damaged(object_name(kind, file_name), "it is too long")
        try:
            return self._path(kind, file_name).read_bytes()
        except OSError as error:
            raise _unreadable(kind, file_name, error) from error

    def has(self, kind: Kind, file_name: str) -> bool:
        """Whether there is something, be it readable or not. A listing may be late."""
        return self._path(kind, file_name).exists()

    def length(self, kind: Kind, file_name: str) -> int:
        try:
            return self._path(kind, file_name).stat().st_size
        except OSError as error:
            raise _unreadable(kind, file_name, error) from error

    def read_range(self, kind: Kind, file_name: str, start: int, length: int) -> bytes:
        """A part of an object; shorter than asked for where the object ends before.

        What is asked for comes from tables and may be any number: there is room made only for what is there (§7.1).
        """
        begin = start - start % RANGE_ALIGNMENT
        end = start + length + -(start + length) % RANGE_ALIGNMENT
        try:
            with self._path(kind, file_name).open("rb") as file:
                there = min(end, os.fstat(file.fileno()).st_size) - begin
                if there <= 0:
                    return b""
                file.seek(begin)
                return file.read(there)[start - begin :][:length]
        except OSError as error:
            raise _unreadable(kind, file_name, error) from error

    def _path(self, kind: Kind, file_name: str) -> Path:
        return self._root / kind.folder / file_name

    def _list(self, kind: Kind) -> list[str]:
        """A folder that is missing beside others is empty (§6.3)."""
        folder = self._root / kind.folder
        return [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def object_name(kind: Kind, file_name: str) -> str:
    return f"{kind.folder}/{file_name}"


def _unreadable(kind: Kind, file_name: str, error: OSError) -> Damaged:
    reason = "it is missing" if isinstance(error, FileNotFoundError) else f"it cannot be read: {error.strerror}"
    return Damaged(object_name(kind, file_name), reason)
