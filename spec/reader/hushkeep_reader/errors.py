"""Why a repository, or a part of it, cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager


class Malformed(Exception):
    """Bytes that a reader must refuse. Whoever knows where they come from turns this into `Damaged`."""


class TooNew(Exception):
    """Bytes that a reader must refuse because a newer program wrote them (§14). It becomes `NewerVersion`."""


class ReaderError(Exception):
    """What ends the program, or costs a file."""

    exit_code = 1


class NoRepository(ReaderError):
    """There is no repository in this place."""

    exit_code = 10


class WrongKey(ReaderError):
    """The recovery key or passphrase does not open this repository."""

    exit_code = 12


class RolledBack(ReaderError):
    """The storage shows an older state than was seen before (§11.4)."""

    exit_code = 13


class Refused(ReaderError):
    """An object, or a part of it, that a reader can use nothing of."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


class Damaged(Refused):
    """What is missing, does not open or is refused (§0.4)."""

    exit_code = 14


class RepositoryDamaged(Damaged):
    """A config holds, and what is behind it cannot be opened: none of the commits, or not all snapshots."""


class NoConfigLeft(Damaged):
    """There are configs, and none to go on with."""

    def __init__(self, reason: str, damage: list[Damaged]) -> None:
        super().__init__("config/", "; ".join([reason, *map(str, damage)]))
        self.damage = damage


class NewerVersion(Refused):
    """Written by a newer program, in a way that this one would misread: no damage (§14)."""


class NotPossible(ReaderError):
    """What was asked for cannot be done, and no damage is to blame."""


@contextmanager
def blaming(subject: str) -> Iterator[None]:
    """Says of everything that is refused inside that it is `subject` that is damaged, or too new."""
    try:
        yield
    except Malformed as malformed:
        raise Damaged(subject, str(malformed)) from malformed
    except TooNew as too_new:
        raise NewerVersion(subject, f"{too_new}; a newer program is needed") from too_new
