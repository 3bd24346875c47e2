"""§7.2 to §7.4, writing below a folder and nowhere else.

No path is ever given to the system as a whole. Each folder is opened by its name in the folder above, without following
links, and whatever is made is made in an open folder. A link in the way, even one that appears meanwhile, is refused.
"""

import io
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import NotPossible
from .file_lists import Metadata
from .paths import components, parent

# §7.4: the bits for set-user-id, set-group-id and sticky would hand out rights that the backup knows nothing of.
RESTORED_MODE_BITS = 0o777
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
HOLE_LENGTH = 4_096


class Target:
    """A folder that is new or empty when the restore begins, so that nothing is ever replaced."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        if os.listdir(self._root):
            raise NotPossible(f"{root}: the target is not empty")

    def make_folder(self, path: bytes) -> None:
        """Open to its owner only, until everything inside is there."""
        with self._folder_of(path) as (folder, name):
            os.mkdir(name, 0o700, dir_fd=folder)

    def finish_folder(self, path: bytes, metadata: Metadata) -> None:
        with self._folder_of(path) as (folder, name):
            descriptor = os.open(name, OPEN_FOLDER, dir_fd=folder)
            try:
                os.fchmod(descriptor, metadata.mode & RESTORED_MODE_BITS)
            finally:
                os.close(descriptor)
            _set_time(folder, name, metadata)

    def write_file(self, path: bytes, metadata: Metadata, pieces: Iterable[bytes], sparse: bool) -> None:
        """The file gets its name when the last piece has come. If the pieces end with an error, it is removed."""
        with self._folder_of(path) as (folder, name):
            _refuse_taken(folder, name)
            unfinished = f".hushkeep-{secrets.token_hex(8)}.part"
            descriptor = os.open(unfinished, CREATE_FILE, 0o600, dir_fd=folder)
            try:
                with open(descriptor, "wb") as file:
                    for piece in pieces:
                        _write_with_holes(file, piece) if sparse else file.write(piece)
                    file.truncate()
                    os.fchmod(file.fileno(), metadata.mode & RESTORED_MODE_BITS)
                os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(unfinished, dir_fd=folder)
                raise
            _set_time(folder, name, metadata)

    def make_symbolic_link(self, path: bytes, metadata: Metadata, target: bytes) -> None:
        if b"\0" in target:
            raise NotPossible("this system cannot have a link to a name with a zero byte")
        with self._folder_of(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)
            _set_time(folder, name, metadata)

    def make_hard_link(self, path: bytes, existing: bytes) -> None:
        with self._folder_of(existing) as (other_folder, other_name), self._folder_of(path) as (folder, name):
            if not stat.S_ISREG(os.stat(other_name, dir_fd=other_folder, follow_symlinks=False).st_mode):
                raise NotPossible("a hard link to what is no regular file")
            os.link(other_name, name, src_dir_fd=other_folder, dst_dir_fd=folder, follow_symlinks=False)

    @contextmanager
    def _folder_of(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The folder that a path lies in, as a descriptor, and the last component."""
        folder = os.dup(self._root)
        try:
            for component in components(parent(path)):
                inner = os.open(component, OPEN_FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder, components(path)[-1]
        finally:
            os.close(folder)


def _refuse_taken(folder: int, name: bytes) -> None:
    """Two names of a list may be one name to this system (§7.2)."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        raise NotPossible("this system takes its name for that of another entry")


def _write_with_holes(file: io.BufferedWriter, piece: bytes) -> None:
    for at in range(0, len(piece), HOLE_LENGTH):
        block = piece[at : at + HOLE_LENGTH]
        if block.count(0) == len(block):
            file.seek(len(block), os.SEEK_CUR)
        else:
            file.write(block)


def _set_time(folder: int, name: bytes, metadata: Metadata) -> None:
    nanoseconds = metadata.modified.total_nanoseconds
    try:
        os.utime(name, ns=(nanoseconds, nanoseconds), dir_fd=folder, follow_symlinks=False)
    except OverflowError as error:
        raise NotPossible("it is there, but this system cannot have its time") from error
