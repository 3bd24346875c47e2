"""§12.4 How the backup key is got by the protectors of configs."""

from collections.abc import Callable, Iterator

from .configs import UnprovenConfig, matching_configs
from .errors import Damaged, Refused, WrongKey, blaming
from .passphrase import open_wrap, read_wrap

PASSPHRASE_PROTECTOR = 2

Unlock = Callable[[UnprovenConfig], bytes]
"""Gets a backup key by a protector of a config, or by what needs none."""

NOT_OF_THIS_REPOSITORY = "the key is not that of this repository"


def backup_keys(configs: list[UnprovenConfig], unlock: Unlock) -> Iterator[bytes]:
    """The backup keys that are got by the configs and that one of these confirms: usually one.

    The first config left should give it. Later ones are asked, too, for the first may be damaged, that of a rotation
    that was not completed, or one that somebody stored who has an old key.
    """
    failure: ReaderFailure = WrongKey(NOT_OF_THIS_REPOSITORY)
    given: list[bytes] = []
    for config in configs:
        try:
            key = unlock(config)
        except (WrongKey, Refused) as error:
            failure = _graver(failure, error)
            continue
        if key not in given and matching_configs(configs, key):
            given.append(key)
            yield key
    if not given:
        raise failure


def key_by_passphrase(config: UnprovenConfig, passphrase: str) -> bytes:
    """The backup key, by whichever passphrase protector this passphrase opens (§5)."""
    failure: ReaderFailure = WrongKey("this repository has no passphrase")
    for protector in config.protectors:
        if protector.kind != PASSPHRASE_PROTECTOR:
            continue
        try:
            with blaming(f"{config.object_name}, protector {protector.id.hex()}"):
                header = config.header
                return open_wrap(read_wrap(protector.data), passphrase, header.repository, header.epoch, protector.id)
        except (WrongKey, Refused) as error:
            failure = _graver(failure, error)
    raise failure


ReaderFailure = WrongKey | Refused


def _graver(one: ReaderFailure, other: ReaderFailure) -> ReaderFailure:
    """Damage is told rather than a wrong passphrase: it may be the reason that no other protector opened."""
    return one if isinstance(one, Damaged) else other
