"""The command line."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from .configs import UnprovenConfig, key_by_passphrase, matching_configs
from .errors import Damaged, ReaderError, WrongKey
from .memory import read_memory, write_memory
from .paths import show
from .recovery_key import read_recovery_key
from .repository import Repository, open_repository
from .restore import restore
from .snapshots import Snapshot
from .storage import Storage
from .target import Target

EXIT_FAILED = 1
EXIT_NOT_ALL_RESTORED = 3


def main() -> int:
    arguments = _parse_arguments()
    try:
        return _run(arguments)
    except ReaderError as error:
        _complain(str(error))
        return error.exit_code
    except OSError as error:
        _complain(str(error))
        return EXIT_FAILED


def _run(arguments: argparse.Namespace) -> int:
    repository = open_repository(Storage(arguments.repository), lambda config: _unlock(config, arguments))
    if arguments.memory:
        _compare_with_memory(repository, arguments.memory)
    exit_code = _restore(repository, arguments) if arguments.command == "restore" else _list(repository)
    for damaged in repository.damage:
        _complain(f"damaged: {damaged}")
    return Damaged.exit_code if repository.damage else exit_code


def _list(repository: Repository) -> int:
    for snapshot in repository.snapshots:
        print(_describe(snapshot))
        for source in snapshot.sources:
            print(f"    {show(source.label)}: {source.file_count} files, {source.byte_count} bytes")
        if snapshot.problem_count:
            print(f"    {snapshot.problem_count} items could not be read, or changed while they were")
    return 0


def _restore(repository: Repository, arguments: argparse.Namespace) -> int:
    snapshot = repository.find(arguments.snapshot)
    print(_describe(snapshot))
    failures = restore(repository.contents, snapshot, Target(arguments.target))
    for failure in failures:
        _complain(f"not restored: {failure}")
    if any(isinstance(failure.error, Damaged) for failure in failures):
        return Damaged.exit_code
    return EXIT_NOT_ALL_RESTORED if failures else 0


def _describe(snapshot: Snapshot) -> str:
    try:
        time = datetime.fromtimestamp(snapshot.time.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        time = f"{snapshot.time.seconds} s"
    device = show(snapshot.device_name.encode())
    return f"{snapshot.id.hex()}  number {snapshot.number}, of {time}, by {device}"


def _unlock(config: UnprovenConfig, arguments: argparse.Namespace) -> bytes:
    """The backup key, from the file that the command line names."""
    if arguments.passphrase_file:
        return key_by_passphrase(config, _read_secret(arguments.passphrase_file))
    key = read_recovery_key(_read_secret(arguments.recovery_key_file))
    if key.repaired_group:
        # §4.3: the repair is a proposal; it is worth telling only if it is the key of this repository.
        matching_configs([config], key.backup_key)
        _complain(f"group {key.repaired_group} of the recovery key was wrong, and is repaired: correct the paper")
    return key.backup_key


def _read_secret(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise WrongKey(f"{file}: this is not text in UTF-8") from error


def _compare_with_memory(repository: Repository, memory: Path) -> None:
    write_memory(memory, repository.tips_to_remember(read_memory(memory)))


def _complain(message: str) -> None:
    print(message, file=sys.stderr)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("hushkeep_reader", description="Reads Hushkeep repositories.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_common(commands.add_parser("list", help="list the snapshots"))
    restoring = commands.add_parser("restore", help="restore a snapshot into a new or empty folder")
    _add_common(restoring)
    restoring.add_argument("target", type=Path)
    restoring.add_argument("--snapshot", default="", metavar="ID", help="the beginning of its id; else the newest one")
    return parser.parse_args()


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", type=Path)
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--recovery-key-file", type=Path, metavar="FILE")
    key.add_argument("--passphrase-file", type=Path, metavar="FILE")
    parser.add_argument("--memory", type=Path, metavar="FILE", help="remember the tips here, and notice a roll-back")


if __name__ == "__main__":
    sys.exit(main())
