#!/usr/bin/env python3
"""Makes `test_repository` anew, for `test_reader.py`, with the program that is given.

    python3 spec/reader/make_test_repository.py target/release/hushkeep

Three backups by two devices, a passphrase added between: files of one and of many chunks, a database whose pages
change, links, holes, names that are no text. What must come back is written down from the files themselves.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "test_repository"
TIME = 1_500_000_000_123_456_789


def main() -> None:
    program = Path(sys.argv[1]).resolve()
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    (HERE / "passphrase.txt").write_text("correct horse battery staple\n")
    with tempfile.TemporaryDirectory() as scratch:
        make(program, Path(scratch))


def make(program: Path, scratch: Path) -> None:
    sources = scratch / "sources"
    chats, notes = sources / "chats", sources / "notes"
    key_file = str(HERE / "recovery-key.txt")
    expected = []

    def run(device: str, *arguments: str) -> None:
        environment = {**os.environ, "HUSHKEEP_HOME": str(scratch / device)}
        command = [str(program), *arguments, "--repo", str(HERE / "repository")]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    def back_up(device: str, *arguments: str) -> None:
        age(sources)
        expected.append(describe(sources))
        run(device, "backup", str(chats), str(notes), *arguments)

    first_day(chats, notes)
    back_up("phone", "--init", "--recovery-key-file", key_file)
    second_day(chats)
    back_up("phone")
    run("phone", "key", "add", "passphrase", "--new-passphrase-file", str(HERE / "passphrase.txt"))
    third_day(chats, notes)
    run("laptop", "recover", "--recovery-key-file", key_file)
    back_up("laptop")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def first_day(chats: Path, notes: Path) -> None:
    (chats / "empty folder").mkdir(parents=True)
    (chats / "media").mkdir()
    notes.mkdir()
    (chats / "nothing").touch()
    (chats / "media" / "voice.opus").write_bytes(b"a short voice note")
    (chats / "media" / "film.mp4").write_bytes(b"".join(b"frame %d, " % number for number in range(200_000)))
    os.link(chats / "media" / "voice.opus", chats / "media" / "voice again.opus")
    os.symlink("/etc/passwd", chats / "link out")
    Path(os.fsdecode(os.fsencode(chats) + b"/no text \xff")).write_bytes(b"a name that is not UTF-8")
    (notes / "private").write_text("only for me")
    (notes / "private").chmod(0o600)
    (notes / "script").write_text("#!/bin/sh\n")
    (notes / "script").chmod(0o4755)
    with open(notes / "holes", "wb") as file:
        file.seek(200_000)
        file.write(b"after a hole")
        file.truncate(300_000)
    change_database(chats, range(400))


def second_day(chats: Path) -> None:
    change_database(chats, range(400, 410))
    (chats / "nothing").unlink()
    (chats / "media" / "photo.jpg").write_bytes(b"a photo of the second day")


def third_day(chats: Path, notes: Path) -> None:
    change_database(chats, range(0, 400, 50))
    shutil.rmtree(chats / "empty folder")
    (notes / "new").write_text("from another device")


def change_database(chats: Path, keys: range) -> None:
    database = sqlite3.connect(chats / "msgstore.db")
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS message (key INTEGER PRIMARY KEY, body TEXT)")
        rows = ((key, f"message {key} " * 20) for key in keys)
        database.executemany("INSERT INTO message VALUES (?, ?) ON CONFLICT DO UPDATE SET body = 'deleted'", rows)
    database.close()


def age(folder: Path) -> None:
    """Gives everything a time of its own that is long ago, so that a restored one cannot be right by chance."""
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        os.utime(path, ns=(TIME, TIME + number), follow_symlinks=False)


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Everything in a folder, by path. Names that are not UTF-8 are as Python has them."""
    return {str(path.relative_to(folder)): describe_one(path) for path in sorted(folder.rglob("*"))}


def describe_one(path: Path) -> dict[str, Any]:
    status = path.lstat()
    about: dict[str, Any] = {"mtime_ns": status.st_mtime_ns}
    if stat.S_ISLNK(status.st_mode):
        return about | {"target": os.readlink(path)}
    about["mode"] = status.st_mode & 0o777
    if stat.S_ISREG(status.st_mode):
        about |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "links": status.st_nlink}
    return about


if __name__ == "__main__":
    main()
