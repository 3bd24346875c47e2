"""§4 Recovery key text."""

from dataclasses import dataclass

from .errors import WrongKey

GROUPS = 18
CHECK_GROUPS = 2
DIGITS = 4 * GROUPS

# §4.2: x^16 + x^12 + x^3 + x + 1.
FIELD_POLYNOMIAL = 0x1100B
FIELD_HIGHEST = 0x8000

# §4.3: word processors make such dashes of a hyphen.
DROPPED = frozenset(",-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufeff")
# Python takes these for white space, and Unicode does not.
NO_WHITE_SPACE = frozenset("\x1c\x1d\x1e\x1f")
LOOK_ALIKE = str.maketrans("OoIiLl", "001111")


@dataclass(frozen=True)
class RecoveryKey:
    """A backup key that was read from its text.

    With a repaired group it is a proposal only, until the key check of the repository confirms it.
    """

    backup_key: bytes
    repaired_group: int | None = None


def read_recovery_key(text: str) -> RecoveryKey:
    """Reads the text of a recovery key, repairing at most one group (§4.3). No error tells a digit of it."""
    groups = _read_groups(text)
    at_one, at_alpha = _evaluate(groups)
    if at_one == at_alpha == 0:
        return RecoveryKey(_join(groups))
    power = at_one
    for n in range(GROUPS):
        if at_one and power == at_alpha:
            place = GROUPS - 1 - n
            groups[place] ^= at_one
            return RecoveryKey(_join(groups), repaired_group=place + 1)
        power = _times_alpha(power)
    raise WrongKey("more than one group of the recovery key is wrong; compare it with what was written down")


def _read_groups(text: str) -> list[int]:
    digits = ""
    for character in text:
        if (character.isspace() and character not in NO_WHITE_SPACE) or character in DROPPED:
            continue
        digit = character.translate(LOOK_ALIKE).lower()
        if digit not in "0123456789abcdef":
            raise WrongKey(f"group {len(digits) // 4 + 1} of the recovery key has a character that is no digit")
        digits += digit
    if len(digits) != DIGITS:
        raise WrongKey(f"the recovery key has {len(digits)} digits instead of {DIGITS}")
    return [int(digits[at : at + 4], 16) for at in range(0, DIGITS, 4)]


def _evaluate(groups: list[int]) -> tuple[int, int]:
    """The polynomial of the groups at 1 and at alpha (§4.2), by Horner's rule."""
    at_one = at_alpha = 0
    for group in groups:
        at_one ^= group
        at_alpha = _times_alpha(at_alpha) ^ group
    return at_one, at_alpha


def _times_alpha(element: int) -> int:
    return element << 1 ^ (FIELD_POLYNOMIAL if element & FIELD_HIGHEST else 0)


def _join(groups: list[int]) -> bytes:
    return b"".join(group.to_bytes(2, "big") for group in groups[: GROUPS - CHECK_GROUPS])
