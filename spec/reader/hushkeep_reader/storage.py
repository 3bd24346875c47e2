"""§2.2, names on the storage, and §6.3, a storage in a folder of a file system."""

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

    def __init__(self, root: Path, tells_times: bool = True) -> None:
        self._root = root
        self._tells_times = tells_times
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
        try:
            return self._path(kind, file_name).read_bytes()
        except OSError as error:
            raise _unreadable(kind, file_name, error) from error

    def length(self, kind: Kind, file_name: str) -> int:
        try:
            return self._path(kind, file_name).stat().st_size
        except OSError as error:
            raise _unreadable(kind, file_name, error) from error

    def stored_at(self, kind: Kind, file_name: str) -> int | None:
        """When an object was stored, by the storage's clock, in nanoseconds. None if that cannot be told (§6.1)."""
        if not self._tells_times:
            return None
        try:
            return self._path(kind, file_name).stat().st_mtime_ns
        except OSError:
            return None

    def read_range(self, kind: Kind, file_name: str, start: int, length: int) -> bytes:
        """A part of an object; shorter than asked for where the object ends before."""
        begin = start - start % RANGE_ALIGNMENT
        end = start + length + -(start + length) % RANGE_ALIGNMENT
        try:
            with self._path(kind, file_name).open("rb") as file:
                file.seek(begin)
                return file.read(end - begin)[start - begin :][:length]
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
