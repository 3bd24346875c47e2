"""§12.4 How the backup key is got by the protectors of configs."""

from collections.abc import Callable, Iterable, Iterator

from .configs import Protector, UnprovenConfig, matching_configs
from .errors import Damaged, Refused, WrongKey, blaming
from .passphrase import open_wrap, read_wrap

PASSPHRASE_PROTECTOR = 2

Unlock = Callable[[UnprovenConfig], Iterable[bytes]]
"""Gets backup keys by the protectors of a config, or the one that needs none. Each may be another, or none at all."""

NOT_OF_THIS_REPOSITORY = "the key is not that of this repository"


def backup_keys(configs: list[UnprovenConfig], unlock: Unlock) -> Iterator[bytes]:
    """The backup keys that are got by the configs and that one of these confirms: usually one.

    The first config left should give it. Later ones are asked, too, for the first may be damaged, that of a rotation
    that was not completed, or one that somebody stored who has an old key. So are all protectors of each.
    """
    failure: ReaderFailure = WrongKey(NOT_OF_THIS_REPOSITORY)
    given: list[bytes] = []
    for config in configs:
        try:
            for key in unlock(config):
                if key not in given and matching_configs(configs, key):
                    given.append(key)
                    yield key
        except (WrongKey, Refused) as error:
            failure = _graver(failure, error)
    if not given:
        raise failure


def keys_by_passphrase(config: UnprovenConfig, passphrase: str) -> Iterator[bytes]:
    """A backup key for each passphrase protector that this passphrase opens (§5).

    Last it is told why others did not open.
    """
    protectors = [protector for protector in config.protectors if protector.kind == PASSPHRASE_PROTECTOR]
    failure: ReaderFailure | None = None if protectors else WrongKey("this repository has no passphrase")
    for protector in protectors:
        try:
            key = _key_of(config, protector, passphrase)
        except (WrongKey, Refused) as error:
            failure = _graver(failure, error)
        else:
            yield key
    if failure:
        raise failure


def _key_of(config: UnprovenConfig, protector: Protector, passphrase: str) -> bytes:
    header = config.header
    with blaming(f"{config.object_name}, protector {protector.id.hex()}"):
        return open_wrap(read_wrap(protector.data), passphrase, header.repository, header.epoch, protector.id)


ReaderFailure = WrongKey | Refused


def _graver(one: ReaderFailure | None, other: ReaderFailure) -> ReaderFailure:
    """Damage is told rather than a wrong passphrase: it may be the reason that no other protector opened."""
    return one if isinstance(one, Damaged) else other
