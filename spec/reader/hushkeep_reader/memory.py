"""§11.4 What a device remembers: a text file with a line for each tip: id, file name, and when it was last seen."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .commits import Commit
from .errors import Damaged, NotPossible, RolledBack
from .history import History
from .storage import NumberedName, read_numbered_name

LINE = re.compile(r"([0-9a-f]{32}) ([a-z0-9-]+) ([0-9]{1,18})")

# A commit may be dropped after 90 days. One that is dropped sooner was dropped by somebody who wants it forgotten.
LEAST_AGE_OF_DROPPED = 30 * 24 * 60 * 60


@dataclass(frozen=True)
class SeenTip:
    """A tip, and when it was last seen: seconds since 1970 by this device's clock."""

    id: bytes
    file_name: str
    """What a late commit calls its parent may be no name of a commit at all."""
    seen: int


def check_memory(history: History, remembered: list[SeenTip], now: int) -> list[SeenTip]:
    """Refuses a history that lacks what was seen before, and tells what to remember from now on."""
    tips = {tip.id: tip for tip in history.tips}
    listed = {name.file_name: name for name in history.listed}
    outdated = {commit.id: commit for commit in history.outdated}
    checked: set[bytes] = set()
    kept: list[SeenTip] = []
    unread = list(remembered)
    while unread:
        seen = unread.pop(0)
        if seen.id in checked or _was_dropped_long_ago(history, seen, now):
            continue
        checked.add(seen.id)
        found = tips.get(seen.id) or listed.get(seen.file_name)
        if not found:
            raise RolledBack(f"the commit {seen.file_name}, which was seen before, is gone")
        if seen.id in outdated:
            # It came too late for a rotation. What went before it must be there.
            unread += [SeenTip(parent.id, parent.file_name, seen.seen) for parent in outdated[seen.id].parents]
            continue
        try:
            _refuse_unless_continued(history, seen, found)
        except Damaged as damaged:
            _tell_once(damaged, history.damage)
            if seen.id not in tips:
                # It may come back whole, and must then still be continued.
                kept.append(seen)
    return kept + [SeenTip(tip.id, tip.name.file_name, now) for tip in history.tips]


def _was_dropped_long_ago(history: History, seen: SeenTip, now: int) -> bool:
    row = history.tables.commit_rows.get(seen.id)
    return row is not None and row.is_dropped and now - seen.seen >= LEAST_AGE_OF_DROPPED


def _refuse_unless_continued(history: History, seen: SeenTip, found: Commit | NumberedName) -> None:
    """That the commit is a tip or called an ancestor proves nothing: its rows must all be there.

    Beside a tip another may lie, whose rows exchange what those of the first refer to.
    """
    reader = history.reader if isinstance(found, Commit) else history.reader_beside_tips
    commit = found if isinstance(found, Commit) else reader.open_with_id(found, seen.id)
    rolled_back = RolledBack(f"the history does not continue the commit {seen.file_name}, which was seen before")
    if not commit:
        raise rolled_back
    tables, full = reader.tables(commit)
    if not history.tables.continue_all(tables.without_left_out(history.tables)):
        raise rolled_back
    if isinstance(full, Damaged):
        raise full


def _tell_once(damaged: Damaged, damage: list[Damaged]) -> None:
    """What is damaged below a tip was told when the tips were read."""
    if damaged.subject not in [told.subject for told in damage]:
        damage.append(damaged)


def clock() -> int:
    return int(time.time())


def read_memory(file: Path) -> list[SeenTip]:
    """The tips that were seen last; none if there is no such file yet."""
    if not file.exists():
        return []
    return [_read_line(line, file) for line in file.read_text("utf-8", "replace").splitlines()]


def write_memory(file: Path, tips: list[SeenTip]) -> None:
    """Replaces the file as a whole: a memory that was cut short would not notice a roll-back."""
    unfinished = file.with_name(file.name + ".part")
    unfinished.write_text("".join(f"{tip.id.hex()} {tip.file_name} {tip.seen}\n" for tip in tips), "utf-8")
    os.replace(unfinished, file)


def _read_line(line: str, file: Path) -> SeenTip:
    match = LINE.fullmatch(line)
    if not match or not read_numbered_name(match[2]):
        raise NotPossible(f"{file}: this is not a memory of tips")
    return SeenTip(bytes.fromhex(match[1]), match[2], int(match[3]))
