#!/usr/bin/env python3
"""Holds the reader against the vectors of whole repositories (`spec/vectors/README.md`).

    python3 spec/reader/check_vectors.py [FOLDER]

They are found by walking the folder, so a new vector needs no code here.
"""

import json
import os
import stat
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from hushkeep_reader import blake3
from hushkeep_reader.checking import check_objects
from hushkeep_reader.errors import (
    Damaged,
    NewerVersion,
    NoConfigLeft,
    NoRepository,
    ReaderError,
    Refused,
    RolledBack,
    WrongKey,
)
from hushkeep_reader.memory import SeenTip
from hushkeep_reader.recovery_key import read_recovery_key
from hushkeep_reader.repository import Repository, open_repository
from hushkeep_reader.restore import restore
from hushkeep_reader.snapshots import Snapshot
from hushkeep_reader.storage import Storage
from hushkeep_reader.target import Target

VECTORS = Path(__file__).parent.parent / "vectors" / "repositories"
DAY = 24 * 60 * 60
CLASSES: dict[str, type[ReaderError]] = {
    "damaged": Damaged,
    "newer": NewerVersion,
    "wrong-key": WrongKey,
    "rolled-back": RolledBack,
    "no-repository": NoRepository,
}

Json = dict[str, Any]


@dataclass
class Restored:
    """Everything that came back of a snapshot, by path."""

    files: dict[bytes, bytes] = field(default_factory=dict)
    folders: set[bytes] = field(default_factory=set)
    links: dict[bytes, bytes] = field(default_factory=dict)
    inodes: dict[bytes, int] = field(default_factory=dict)


@dataclass
class Outcome:
    """What the reader made of a vector."""

    repository: Repository | None = None
    restored: list[Restored] = field(default_factory=list)
    problems: list[Exception] = field(default_factory=list)


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS
    vectors = find_vectors(root)
    mismatches = [f"{vector.relative_to(root)}: {problem}" for vector in vectors for problem in check_vector(vector)]
    for mismatch in mismatches:
        print(mismatch)
    print(f"{len(vectors)} vectors, {len(mismatches)} mismatches")
    return 1 if mismatches or not vectors else 0


def find_vectors(root: Path) -> list[Path]:
    return sorted(file.parent for kind in ("valid", "invalid") for file in (root / kind).glob("*/expected.json"))


def check_vector(vector: Path) -> list[str]:
    """What the reader does otherwise than is expected."""
    expected = json.loads((vector / "expected.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        outcome = read_all(vector, Path(scratch))
    return _compare_valid(expected, outcome) if vector.parent.name == "valid" else _compare_invalid(expected, outcome)


def read_all(vector: Path, scratch: Path) -> Outcome:
    """Opens a repository, restores every snapshot of it, and reads every object."""
    outcome = Outcome()
    try:
        repository = open_vector(vector)
    except ReaderError as error:
        outcome.problems.append(error)
        if isinstance(error, NoConfigLeft):
            outcome.problems += error.damage
        return outcome
    outcome.repository = repository
    for number, snapshot in enumerate(repository.snapshots):
        outcome.restored.append(_restore(repository, snapshot, scratch / str(number), outcome.problems))
    outcome.problems += check_objects(repository)
    outcome.problems += repository.damage
    return outcome


def open_vector(vector: Path) -> Repository:
    """With what the device remembers."""
    key = read_recovery_key((vector / "key.txt").read_text("utf-8")).backup_key
    repository = open_repository(Storage(vector / "repository"), lambda config: [key])
    memory = vector / "memory.json"
    if memory.exists():
        remembered = json.loads(memory.read_text("utf-8"))
        repository.tips_to_remember(_read_tips(remembered), now=remembered["seconds"] + DAY)
    return repository


def _read_tips(remembered: Json) -> list[SeenTip]:
    return [SeenTip(bytes.fromhex(tip["id"]), tip["name"], remembered["seconds"]) for tip in remembered["tips"]]


def _restore(repository: Repository, snapshot: Snapshot, place: Path, problems: list[Exception]) -> Restored:
    failures = restore(repository.contents, snapshot, Target(place))
    # What the system does not take is missing, and that is noticed, but it is no problem of the repository.
    problems += [failure.error for failure in failures if isinstance(failure.error, Refused)]
    restored = Restored()
    for folder, folders, names in os.walk(os.fsencode(place)):
        for name in folders + names:
            path = os.path.join(folder, name)
            _note(restored, os.path.relpath(path, os.fsencode(place)), path)
    return restored


def _note(restored: Restored, path: bytes, place: bytes) -> None:
    status = os.lstat(place)
    if stat.S_ISLNK(status.st_mode):
        restored.links[path] = os.readlink(place)
        return
    # The restored mode may forbid to look inside.
    os.chmod(place, 0o700)
    if stat.S_ISDIR(status.st_mode):
        restored.folders.add(path)
    else:
        restored.files[path] = Path(os.fsdecode(place)).read_bytes()
        restored.inodes[path] = status.st_ino


def _compare_valid(expected: Json, outcome: Outcome) -> list[str]:
    mismatches = [f"{type(problem).__name__}: {problem}" for problem in outcome.problems]
    if not outcome.repository:
        return mismatches
    snapshots = [(snapshot.number, snapshot.id.hex()) for snapshot in outcome.repository.snapshots]
    if snapshots != [(snapshot["number"], snapshot["id"]) for snapshot in expected["snapshots"]]:
        return [*mismatches, f"the snapshots are {snapshots}"]
    for snapshot, restored in zip(expected["snapshots"], outcome.restored, strict=True):
        mismatches += [f"snapshot {snapshot['number']}: {what}" for what in _compare_restored(snapshot, restored)]
    unknown = [snapshot_id.hex() for snapshot_id in outcome.repository.unknown_snapshots]
    if unknown != sorted(expected.get("unknown_snapshots", [])):
        mismatches.append(f"the unknown snapshots are {unknown}")
    outdated = sorted(outcome.repository.history.outdated_names)
    if outdated != sorted(expected.get("outdated", [])):
        mismatches.append(f"the outdated commits are {outdated}")
    return mismatches


def _compare_restored(expected: Json, restored: Restored) -> list[str]:
    hard_links = {unquote(path): unquote(target) for path, target in expected.get("hard_links", {}).items()}
    files = {unquote(path): (file["len"], file["blake3"]) for path, file in expected["files"].items()}
    files |= {path: files[target] for path, target in hard_links.items()}
    found = {path: (len(data), blake3.PLAIN.digest(data).hex()) for path, data in restored.files.items()}
    # No system that this runs on has links to nothing.
    links = {unquote(path): unquote(target) for path, target in expected.get("links", {}).items() if target}
    folders = {unquote(path) for path in expected.get("folders", [])}
    mismatches = [f"{path!r}: {found.get(path)} is not {files.get(path)}" for path in _different(found, files)]
    mismatches += [f"the link {path!r}" for path in _different(restored.links, links)]
    mismatches += [
        f"{path!r} is no name of {target!r}"
        for path, target in hard_links.items()
        if not _is_one(restored, path, target)
    ]
    if "folders" in expected and folders != restored.folders:
        mismatches.append(f"the folders {sorted(folders ^ restored.folders)}")
    return mismatches


def _different(one: dict[bytes, Any], other: dict[bytes, Any]) -> list[bytes]:
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def _is_one(restored: Restored, path: bytes, other: bytes) -> bool:
    return path in restored.inodes and restored.inodes[path] == restored.inodes.get(other)


def _compare_invalid(expected: Json, outcome: Outcome) -> list[str]:
    classes = {name for name, error in CLASSES.items() if any(isinstance(one, error) for one in outcome.problems)}
    told = "; ".join(f"{type(problem).__name__}: {problem}" for problem in outcome.problems) or "nothing is found"
    # What a newer object says is unknown, and so is where the contents lie of which it alone tells.
    allowed = {expected["class"], "damaged"} if expected["class"] == "newer" else {expected["class"]}
    is_told = expected["class"] in classes and classes <= allowed
    mismatches = [] if is_told else [f"it is not just {expected['class']}: {told}"]
    if expected["object"] and not _names(outcome, expected["object"]):
        mismatches.append(f"{expected['object']} is not named: {told}")
    still_restores = expected["still_restores"]
    if (still_restores is None) != (outcome.repository is None):
        mismatches.append(f"it {'opens' if outcome.repository else 'does not open'}: {told}")
    elif still_restores is not None:
        mismatches += _compare_rest(still_restores, outcome)
    return mismatches


def _names(outcome: Outcome, object_name: str) -> bool:
    subjects = [problem.subject for problem in outcome.problems if isinstance(problem, Refused)]
    return any(subject.startswith(object_name) for subject in subjects)


def _compare_rest(still_restores: list[str], outcome: Outcome) -> list[str]:
    """What is left of the newest snapshot. Every file consists of its own path, over and over."""
    rest = outcome.restored[-1] if outcome.restored else Restored()
    expected, found = {unquote(path) for path in still_restores}, rest.files.keys() | rest.links.keys()
    mismatches = [f"{path!r} {'comes back' if path in found else 'is lost'}" for path in sorted(found ^ expected)]
    for path, data in rest.files.items():
        aliases = [other for other in rest.files if _is_one(rest, path, other)]
        if not any(data == (other * (len(data) // len(other) + 1))[: len(data)] for other in aliases):
            mismatches.append(f"{path!r} has wrong contents")
    return mismatches


def unquote(path: str) -> bytes:
    return unquote_to_bytes(path)


if __name__ == "__main__":
    sys.exit(main())
