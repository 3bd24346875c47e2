"""§11.4, what a device remembers: here a text file with the id and the file name of a tip on each line."""

import os
import re
from pathlib import Path

from .errors import NotPossible
from .history import Tip
from .storage import read_numbered_name

COMMIT_ID = re.compile(r"[0-9a-f]{32}")


def read_memory(file: Path) -> list[Tip]:
    """The tips that were seen last; none if there is no such file yet."""
    if not file.exists():
        return []
    return [_read_line(line, file) for line in file.read_text("utf-8", "replace").splitlines()]


def write_memory(file: Path, tips: list[Tip]) -> None:
    """Replaces the file as a whole: a memory that was cut short would not notice a roll-back."""
    unfinished = file.with_name(file.name + ".part")
    unfinished.write_text("".join(f"{tip.id.hex()} {tip.name.file_name}\n" for tip in tips), "utf-8")
    os.replace(unfinished, file)


def _read_line(line: str, file: Path) -> Tip:
    commit_id, _, file_name = line.partition(" ")
    name = read_numbered_name(file_name)
    if not name or not COMMIT_ID.fullmatch(commit_id):
        raise NotPossible(f"{file}: this is not a memory of tips")
    return Tip(bytes.fromhex(commit_id), name)
