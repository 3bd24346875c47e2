"""The command line."""

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from .checking import check_objects
from .configs import UnprovenConfig, matching_configs
from .errors import NewerVersion, NoConfigLeft, NoRepository, ReaderError, Refused, WrongKey
from .memory import read_memory, write_memory
from .paths import show
from .recovery_key import read_recovery_key
from .repository import Repository, open_repository
from .restore import restore
from .salvage import salvage_repository
from .snapshots import Snapshot
from .storage import Storage
from .target import Target
from .unlocking import NOT_OF_THIS_REPOSITORY, keys_by_passphrase

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
    repository = _open(arguments)
    if arguments.memory:
        _compare_with_memory(repository, arguments.memory)
    if repository.unknown_snapshots:
        count = len(repository.unknown_snapshots)
        _complain(f"not shown: {count} more snapshots, of which this program cannot tell anything")
    exit_code = COMMANDS[arguments.command](repository, arguments)
    for outdated in repository.history.outdated_names:
        _complain(f"not used: {outdated} was written with a key that was given up")
    for refused in repository.damage:
        _complain(f"{'too new' if isinstance(refused, NewerVersion) else 'damaged'}: {refused}")
    return _exit_code_of(repository.damage) or exit_code


def _open(arguments: argparse.Namespace) -> Repository:
    storage = Storage(arguments.repository)
    try:
        return open_repository(storage, lambda config: _unlock(config, arguments))
    except (NoRepository, NoConfigLeft, WrongKey) as error:
        if not arguments.without_config or not arguments.recovery_key_file:
            raise
        _complain(f"goes on without a config, for {error}")
        return salvage_repository(storage, read_recovery_key(_read_secret(arguments.recovery_key_file)).backup_key)


def _exit_code_of(refusals: list[Refused]) -> int:
    """Damage is told rather than what is too new."""
    return max((refused.exit_code for refused in refusals), default=0)


def _list(repository: Repository, arguments: argparse.Namespace) -> int:
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
    refusals = [failure.error for failure in failures if isinstance(failure.error, Refused)]
    return _exit_code_of(refusals) or (EXIT_NOT_ALL_RESTORED if failures else 0)


def _check(repository: Repository, arguments: argparse.Namespace) -> int:
    """Whatever is found is told with all other damage."""
    repository.pack_damage += check_objects(repository)
    return 0


COMMANDS = {"list": _list, "restore": _restore, "check": _check}


def _describe(snapshot: Snapshot) -> str:
    try:
        time = datetime.fromtimestamp(snapshot.time.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        time = f"{snapshot.time.seconds} s"
    device = show(snapshot.device_name.encode())
    return f"{snapshot.id.hex()}  number {snapshot.number}, of {time}, by {device}"


def _unlock(config: UnprovenConfig, arguments: argparse.Namespace) -> Iterable[bytes]:
    """The backup keys that are got with the file that the command line names."""
    if arguments.passphrase_file:
        return keys_by_passphrase(config, _read_secret(arguments.passphrase_file))
    key = read_recovery_key(_read_secret(arguments.recovery_key_file))
    if key.repaired_group:
        # §4.3: the repair is a proposal; it is worth telling only if it is the key of this repository.
        if not matching_configs([config], key.backup_key):
            raise WrongKey(NOT_OF_THIS_REPOSITORY)
        _complain(f"group {key.repaired_group} of the recovery key was wrong, and is repaired: correct the paper")
    return [key.backup_key]


def _read_secret(file: Path) -> str:
    try:
        return file.read_bytes().decode()
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
    _add_common(commands.add_parser("check", help="read every object whole"))
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
    parser.add_argument(
        "--without-config", action="store_true", help="go on if no config is left; needs a recovery key"
    )
    parser.add_argument("--memory", type=Path, metavar="FILE", help="remember the tips here, and notice a roll-back")


if __name__ == "__main__":
    sys.exit(main())
